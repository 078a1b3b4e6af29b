package netcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// ruleset is a host's nftables: all chains of all tables.
type ruleset []chain

// chain is one with its rules.
type chain struct {
	*nftables.Chain
	rules []rule
}

// findings is one line: which chains may drop packets that must pass, or that none does.
// It is no more than a note, as most conditions of rules are not evaluated here.
func (r ruleset) findings(packets []Packet) []Finding {
	var chains, stopped, passing []string
	advice := ""
	for _, p := range packets {
		what := fmt.Sprintf("%s (%s)", p.Name, p.Rule)
		stops := false
		for _, base := range r {
			if !base.sees(p) {
				continue
			}
			why := r.obstacle(base, p)
			if why == "" {
				continue
			}
			stops = true
			place := tableName(base.Table) + " " + base.Name
			if advice == "" {
				advice = fmt.Sprintf("nft insert rule %s %s accept", place, p.Rule)
			}
			if each := fmt.Sprintf("%s (%s)", place, why); !slices.Contains(chains, each) {
				chains = append(chains, each)
			}
		}
		list := &passing
		if stops {
			list = &stopped
		}
		if !slices.Contains(*list, what) {
			*list = append(*list, what)
		}
	}
	switch {
	case len(packets) == 0:
		return nil
	case len(stopped) == 0:
		return []Finding{{OK, "firewall", "no chain of nftables seen that drops " + strings.Join(passing, ", "), ""}}
	}
	if len(chains) > 1 || len(stopped) > 1 {
		advice += ", and so on for each"
	}
	noun := "chain "
	if len(chains) > 1 {
		noun = "chains "
	}
	return []Finding{{Note, "firewall",
		fmt.Sprintf("%s%s may stand in the way of %s", noun, strings.Join(chains, ", "), strings.Join(stopped, ", ")),
		advice + "; nft list ruleset shows all rules"}}
}

// obstacle says what of a base chain may drop a packet; "" if nothing does.
func (r ruleset) obstacle(base chain, p Packet) string {
	switch end, where := r.evaluate(base, p, nil); {
	case end == accepts:
		return ""
	case end == drops && where == base.Name:
		return "a rule drops or rejects"
	case end == drops:
		return "a rule of " + where + " drops or rejects"
	case base.Policy != nil && *base.Policy == nftables.ChainPolicyDrop:
		return "policy drop"
	}
	return ""
}

// evaluate goes through a chain's rules and those of the chains that it calls, up to the first
// that drops the packet or may do so, or that surely accepts it. above are the chains
// that lead here. where is the chain of that rule.
func (r ruleset) evaluate(c chain, p Packet, above []string) (end effect, where string) {
	if slices.Contains(above, c.Name) { // the kernel refuses such a loop
		return neither, ""
	}
	for _, each := range c.rules {
		end, called := each.effect(p)
		if end != neither {
			return end, c.Name
		}
		at := slices.IndexFunc(r, func(o chain) bool {
			return o.Name == called && tableName(o.Table) == tableName(c.Table)
		})
		if called == "" || at < 0 {
			continue
		}
		if end, where := r.evaluate(r[at], p, append(slices.Clone(above), c.Name)); end != neither {
			return end, where
		}
	}
	return neither, ""
}

// sees reports whether c is a base chain that a packet comes by.
func (c chain) sees(p Packet) bool {
	own := nftables.TableFamilyIPv4
	if p.To.Addr().Is6() {
		own = nftables.TableFamilyIPv6
	}
	if c.Hooknum == nil || c.Type != nftables.ChainTypeFilter || c.Table.Family != own && c.Table.Family != nftables.TableFamilyINet {
		return false
	}
	hooks := []nftables.ChainHook{*nftables.ChainHookPrerouting, *nftables.ChainHookInput}
	if p.Out {
		hooks = []nftables.ChainHook{*nftables.ChainHookOutput, *nftables.ChainHookPostrouting}
	}
	return slices.Contains(hooks, *c.Hooknum)
}
