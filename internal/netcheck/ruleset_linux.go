package netcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// ruleset is a host's nftables.
type ruleset struct {
	chains []chain
	sets   map[string][]nftables.SetElement // by table and name; those not there are not known
}

// chain is one with its rules' expressions.
type chain struct {
	*nftables.Chain
	rules [][]expr.Any
}

// maxDepth is how deep chains may call each other: the kernel's limit.
const maxDepth = 16

// fate is what a chain does with a packet.
type fate int

const (
	passes fate = iota // it comes out at the end
	accepted
	dropped
)

// walk follows one packet through the chains of a table.
type walk struct {
	*ruleset
	packet Packet
	table  string

	at        string // where it was dropped
	mayAccept bool   // a rule of which it is not known whether it matches accepts it
	mayDrop   string // where such a rule that is about packets like this drops it
}

// findings judges each packet.
func (r *ruleset) findings(packets []Packet) (all []Finding) {
	var pass []string
	for _, p := range packets {
		f, stands := r.judge(p)
		text := fmt.Sprintf("%s (%s)", p.Name, p.Rule)
		switch {
		case stands && !slices.Contains(all, f):
			all = append(all, f)
		case !stands && !slices.Contains(pass, text):
			pass = append(pass, text)
		}
	}
	if len(pass) > 0 {
		all = append(all, Finding{OK, "firewall", "no rule seen that stops " + strings.Join(pass, ", "), ""})
	}
	return all
}

// judge follows a packet through the base chains that it comes by, each of which must
// let it pass.
func (r *ruleset) judge(p Packet) (f Finding, stands bool) {
	for _, base := range r.chains {
		if !base.sees(p) {
			continue
		}
		w := walk{ruleset: r, packet: p, table: tableName(base.Table)}
		end := w.chain(base.Name, false, 0)
		if end == passes && base.Policy != nil && *base.Policy == nftables.ChainPolicyDrop {
			end, w.at = dropped, "its policy is drop"
		}
		level, where := Wrong, w.at
		switch {
		case end == dropped && w.mayAccept, end != dropped && w.mayDrop != "":
			level = Note
		case end != dropped:
			continue
		}
		if end != dropped {
			where = w.mayDrop
		}
		if p.Protocol == IGMP { // it costs nothing where no switch snoops
			level = Note
		}
		place := w.table + " " + base.Name
		return Finding{level, "firewall",
			fmt.Sprintf("chain %s may stand in the way of %s: %s", place, p.Name, where),
			fmt.Sprintf("nft insert rule %s %s accept", place, p.Rule)}, true
	}
	return Finding{}, false
}

// sees tells whether c is a base chain that a packet comes by.
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

// chain follows the packet through a chain. alike tells that the rule which led there
// is about packets like this.
func (w *walk) chain(name string, alike bool, depth int) fate {
	at := slices.IndexFunc(w.chains, func(c chain) bool { return c.Name == name && tableName(c.Table) == w.table })
	if at < 0 || depth > maxDepth {
		return passes
	}
	sure := true // the packet gets to the rule
	for number, rule := range w.chains[at].rules {
		for _, m := range w.match(rule) {
			if m.certainty == no {
				continue
			}
			sureHere := sure && m.certainty == yes
			end := passes
			switch m.verdict.Kind {
			case expr.VerdictAccept:
				end = accepted
			case expr.VerdictDrop, expr.VerdictQueue:
				end = dropped
				w.at = fmt.Sprintf("rule %d of chain %s drops it", number+1, name)
				sureHere = sureHere && m.verdict.Kind == expr.VerdictDrop
			case expr.VerdictJump, expr.VerdictGoto:
				if end = w.chain(m.verdict.Chain, alike || m.alike, depth+1); end == passes {
					if m.verdict.Kind == expr.VerdictGoto && m.certainty == yes {
						return passes
					}
					continue
				}
			case expr.VerdictReturn:
				if m.certainty == yes {
					return passes
				}
				sure = false
				continue
			default:
				continue
			}
			switch {
			case sureHere:
				return end
			case end == accepted:
				w.mayAccept = true
			case w.mayDrop == "" && (alike || m.alike):
				w.mayDrop = w.at
			}
			if m.certainty == yes { // if it gets here, it goes no further
				return passes
			}
		}
	}
	return passes
}
