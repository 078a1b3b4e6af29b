package netcheck

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Firewall names the chains of this host's nftables, and of iptables as nftables has them,
// that may drop packets which must pass: those with policy drop, or with a rule that drops.
// It does not evaluate the rules, so what it says of a chain is a hint.
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
		return append(all, Finding{Note, "firewall", fmt.Sprintf("it cannot be seen: %v", err), "run this as root, or nft list ruleset"})
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
func readRuleset() (r ruleset, err error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	chains, err := c.ListChains()
	if err != nil {
		// The library does not wrap the kernel's error.
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	for _, each := range chains {
		rules, err := c.GetRules(each.Table, each)
		if err != nil {
			return nil, fmt.Errorf("list chain %s %s: %w", tableName(each.Table), each.Name, err)
		}
		own := chain{Chain: each}
		for _, each := range rules {
			own.rules = append(own.rules, each.Exprs)
		}
		r = append(r, own)
	}
	return r, nil
}

// tableName is as nft(8) has it: "inet filter".
func tableName(t *nftables.Table) string {
	family := map[nftables.TableFamily]string{
		nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
		nftables.TableFamilyARP: "arp", nftables.TableFamilyBridge: "bridge", nftables.TableFamilyNetdev: "netdev",
	}[t.Family]
	return family + " " + t.Name
}
