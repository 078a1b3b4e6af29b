package netcheck

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Firewall tells which of the packets this host's own firewall stands in the way of,
// as far as that can be seen: nftables, and what of iptables is made of it. It is not
// sure: it knows the usual conditions of rules only.
func Firewall(packets []Packet) []Finding {
	all, err := legacyTables("/proc/thread-self/net")
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		all = append(all, Finding{Note, "firewall", fmt.Sprintf("iptables cannot be seen: %v", err), "look at it: iptables-legacy -S"})
	}
	rules, err := readRuleset()
	switch {
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT): // a kernel without
		return append(all, Finding{OK, "firewall", "this kernel has no nftables", ""})
	case err != nil:
		return append(all, Finding{Note, "firewall", fmt.Sprintf("it cannot be seen: %v", err), "run this as root, or look at it: nft list ruleset"})
	}
	return append(all, rules.findings(packets)...)
}

// legacyTables tells of iptables' own tables, which only iptables-legacy can list.
func legacyTables(folder string) (all []Finding, err error) {
	for _, each := range []struct{ file, program string }{{"ip_tables_names", "iptables-legacy"}, {"ip6_tables_names", "ip6tables-legacy"}} {
		text, failed := os.ReadFile(folder + "/" + each.file)
		if failed != nil {
			err = failed
			continue
		}
		if names := strings.Fields(string(text)); len(names) > 0 {
			all = append(all, Finding{Note, "firewall",
				fmt.Sprintf("%s has tables (%s), which cannot be seen here", each.program, strings.Join(names, ", ")), "look at them: " + each.program + " -S"})
		}
	}
	return all, err
}

// readRuleset reads all tables of this network namespace, which takes CAP_NET_ADMIN.
func readRuleset() (*ruleset, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	chains, err := c.ListChains()
	if err != nil {
		// The library does not wrap the kernel's error.
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	r := &ruleset{sets: map[string][]nftables.SetElement{}}
	tables := map[string]bool{}
	for _, each := range chains {
		if !tables[tableName(each.Table)] {
			tables[tableName(each.Table)] = true
			if err := r.readSets(c, each.Table); err != nil {
				return nil, err
			}
		}
		rules, err := c.GetRules(each.Table, each)
		if err != nil {
			return nil, fmt.Errorf("list chain %s %s: %w", tableName(each.Table), each.Name, err)
		}
		own := chain{Chain: each}
		for _, rule := range rules {
			own.rules = append(own.rules, rule.Exprs)
		}
		r.chains = append(r.chains, own)
	}
	return r, nil
}

func (r *ruleset) readSets(c *nftables.Conn, table *nftables.Table) error {
	sets, err := c.GetSets(table)
	if err != nil {
		return fmt.Errorf("list the sets of %s: %w", tableName(table), err)
	}
	for _, set := range sets {
		if set.Concatenation {
			continue // conditions on it are not known
		}
		elements, err := c.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("list the set %s of %s: %w", set.Name, tableName(table), err)
		}
		r.sets[tableName(table)+" "+set.Name] = elements
	}
	return nil
}

// tableName is as nft(8) has it: "inet filter".
func tableName(t *nftables.Table) string {
	family := map[nftables.TableFamily]string{
		nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
		nftables.TableFamilyARP: "arp", nftables.TableFamilyBridge: "bridge", nftables.TableFamilyNetdev: "netdev",
	}[t.Family]
	return family + " " + t.Name
}
