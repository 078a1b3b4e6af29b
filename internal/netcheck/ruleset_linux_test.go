package netcheck

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Conditions of rules, as nft(8) compiles them.
func cmp(data ...byte) expr.Any    { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
func meta(k expr.MetaKey) expr.Any { return &expr.Meta{Key: k, Register: 1} }
func transport(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}
}
func address(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4}
}
func port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

var (
	accept = &expr.Verdict{Kind: expr.VerdictAccept}
	drop   = &expr.Verdict{Kind: expr.VerdictDrop}
	back   = &expr.Verdict{Kind: expr.VerdictReturn}
	isUDP  = rule{meta(expr.MetaKeyL4PROTO), cmp(unix.IPPROTO_UDP)}
	isTCP  = rule{meta(expr.MetaKeyL4PROTO), cmp(unix.IPPROTO_TCP)}
	limit  = &expr.Limit{Rate: 1}
)

func call(to string) *expr.Verdict { return &expr.Verdict{Kind: expr.VerdictJump, Chain: to} }

// inState is: ct state states.
func inState(states uint32) rule {
	native := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	return rule{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(states), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
	}
}

// join puts conditions and a verdict together.
func join(parts ...any) (all rule) {
	for _, p := range parts {
		switch p := p.(type) {
		case rule:
			all = append(all, p...)
		case expr.Any:
			all = append(all, p)
		}
	}
	return all
}

func dport(p uint16) rule { return join(isUDP, transport(2), cmp(port(p)...)) }

// Packets that the programs live by, and a table.
var (
	stream = Packet{
		Name: "the stream", Protocol: UDP, Rule: "udp dport 16000",
		From: netip.MustParseAddrPort("10.0.0.1:7500"), To: netip.MustParseAddrPort("239.192.1.1:16000"),
	}
	out = Packet{
		Name: "the stream that leaves", Protocol: UDP, Rule: "udp dport 16000", Out: true,
		From: netip.MustParseAddrPort("10.0.0.1:7500"), To: netip.MustParseAddrPort("239.192.1.1:16000"),
	}
	over6 = Packet{
		Name: "the stream over IPv6", Protocol: UDP, Rule: "udp dport 16000",
		From: netip.MustParseAddrPort("[fe80::1]:7500"), To: netip.MustParseAddrPort("[ff15::1]:16000"),
	}
	answer = Packet{
		Name: "answers", Protocol: UDP, Rule: "udp sport 7500",
		From: netip.AddrPortFrom(netip.Addr{}, 7500), To: netip.MustParseAddrPort("10.0.0.2:0"),
	}
	igmp   = Packet{Name: "IGMP", Protocol: IGMP, To: netip.MustParseAddrPort("224.0.0.1:0"), Rule: "ip protocol igmp"}
	filter = &nftables.Table{Family: nftables.TableFamilyINet, Name: "filter"}
)

func TestRuleset(t *testing.T) {
	lookup := func(name string) expr.Any { return &expr.Lookup{SourceRegister: 1, SetName: name} }
	const (
		pass   = "ok    firewall: no chain of nftables seen that drops "
		policy = "note  firewall: chain inet filter input (policy drop) may stand in the way of "
		drops  = "note  firewall: chain inet filter input (a rule drops or rejects) may stand in the way of "
		called = "note  firewall: chain inet filter input (a rule of own drops or rejects) may stand in the way of "
	)
	for _, c := range []struct {
		name   string
		packet Packet
		policy nftables.ChainPolicy
		rules  []rule
		own    []rule // of a chain that may be called
		want   string // the line's beginning
	}{
		{"no rule", stream, nftables.ChainPolicyAccept, nil, nil, pass + "the stream (udp dport 16000)"},
		{"policy drop", stream, nftables.ChainPolicyDrop, nil, nil,
			policy + "the stream (udp dport 16000): nft insert rule inet filter input udp dport 16000 accept; nft list ruleset shows all rules"},
		{"its port accepted", stream, nftables.ChainPolicyDrop, []rule{join(dport(16000), accept)}, nil, pass},
		{"its port accepted and counted", stream, nftables.ChainPolicyDrop, []rule{join(dport(16000), &expr.Counter{}, accept)}, nil, pass},
		{"another port accepted", stream, nftables.ChainPolicyDrop, []rule{join(dport(22), accept)}, nil, policy},
		{"all UDP accepted", stream, nftables.ChainPolicyDrop, []rule{join(isUDP, accept)}, nil, pass},
		{"all accepted", stream, nftables.ChainPolicyDrop, []rule{join(accept)}, nil, pass},
		{"accepted, then the rest dropped", stream, nftables.ChainPolicyAccept, []rule{join(dport(16000), accept), join(drop)}, nil, pass},
		{"dropped, then accepted", stream, nftables.ChainPolicyAccept, []rule{join(drop), join(dport(16000), accept)}, nil, drops},
		{"the rest rejected", stream, nftables.ChainPolicyAccept, []rule{join(dport(22), accept), join(&expr.Reject{})}, nil, drops},
		{"the rest rejected by iptables", stream, nftables.ChainPolicyAccept, []rule{join(&expr.Counter{}, &expr.Target{Name: "REJECT"})}, nil, drops},
		{"queued", stream, nftables.ChainPolicyAccept, []rule{join(&expr.Queue{})}, nil, drops},
		{"TCP dropped", stream, nftables.ChainPolicyAccept, []rule{join(isTCP, drop)}, nil, pass},
		{"all but TCP dropped", stream, nftables.ChainPolicyAccept,
			[]rule{join(meta(expr.MetaKeyL4PROTO), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{unix.IPPROTO_TCP}}, drop)}, nil, drops},
		{"another port dropped", stream, nftables.ChainPolicyAccept, []rule{join(dport(53), drop)}, nil, pass},
		{"the other ports accepted", stream, nftables.ChainPolicyDrop,
			[]rule{join(isUDP, transport(2), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: port(16000)}, accept)}, nil, policy},
		{"its source port accepted", answer, nftables.ChainPolicyDrop, []rule{join(isUDP, transport(0), cmp(port(7500)...), accept)}, nil, pass},
		{"a port that is not known accepted", answer, nftables.ChainPolicyDrop, []rule{join(dport(16000), accept)}, nil, policy},
		{"logged only", stream, nftables.ChainPolicyAccept, []rule{join(isUDP, &expr.Log{}, &expr.Counter{})}, nil, pass},
		{"multicast dropped", stream, nftables.ChainPolicyAccept, []rule{join(meta(expr.MetaKeyPKTTYPE), cmp(unix.PACKET_MULTICAST), drop)}, nil, drops},
		{"on loopback accepted", stream, nftables.ChainPolicyDrop, []rule{join(meta(expr.MetaKeyIIF), cmp(1, 0, 0, 0), accept)}, nil, policy},
		{"from an address accepted", stream, nftables.ChainPolicyDrop, []rule{join(address(12), cmp(10, 0, 0, 1), accept)}, nil, policy},
		{"established accepted", stream, nftables.ChainPolicyDrop, []rule{join(inState(2|4), accept)}, nil, policy},
		{"invalid dropped", stream, nftables.ChainPolicyAccept, []rule{join(inState(1), drop)}, nil, pass},
		{"invalid and new dropped", stream, nftables.ChainPolicyAccept, []rule{join(inState(1|8), drop)}, nil, drops},
		{"ports in a range accepted", stream, nftables.ChainPolicyDrop,
			[]rule{join(isUDP, transport(2), &expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: port(15000), ToData: port(16000)}, accept)}, nil, policy},
		{"ports of a set accepted", stream, nftables.ChainPolicyDrop, []rule{join(isUDP, transport(2), lookup("ports"), accept)}, nil, policy},
		{"some of it accepted", stream, nftables.ChainPolicyDrop, []rule{join(isUDP, limit, accept)}, nil, policy},
		{"a chain that drops", stream, nftables.ChainPolicyAccept, []rule{join(call("own"))}, []rule{join(drop)}, called},
		{"a chain that drops TCP", stream, nftables.ChainPolicyAccept, []rule{join(isTCP, call("own"))}, []rule{join(drop)}, pass},
		{"a chain that accepts", stream, nftables.ChainPolicyDrop, []rule{join(call("own"))}, []rule{join(dport(16000), accept)}, pass},
		{"a chain that returns", stream, nftables.ChainPolicyDrop, []rule{join(call("own")), join(dport(16000), accept)}, []rule{join(back)}, pass},
		{"a chain that calls itself", stream, nftables.ChainPolicyAccept, []rule{join(call("own"))}, []rule{join(call("own"))}, pass},
		{"a chain that nobody has", stream, nftables.ChainPolicyAccept, []rule{join(call("gone"))}, nil, pass},
		{"IGMP, policy drop", igmp, nftables.ChainPolicyDrop, nil, nil,
			policy + "IGMP (ip protocol igmp): nft insert rule inet filter input ip protocol igmp accept; "},
		{"IGMP accepted", igmp, nftables.ChainPolicyDrop,
			[]rule{join(meta(expr.MetaKeyNFPROTO), cmp(unix.NFPROTO_IPV4), &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 9, Len: 1}, cmp(IGMP), accept)}, nil, pass},
		{"IGMP, a port accepted", igmp, nftables.ChainPolicyDrop, []rule{join(dport(16000), accept)}, nil, policy},
		{"what leaves", out, nftables.ChainPolicyDrop, nil, nil, pass},
		{"IPv6 accepted", over6, nftables.ChainPolicyDrop, []rule{join(meta(expr.MetaKeyNFPROTO), cmp(unix.NFPROTO_IPV6), dport(16000), accept)}, nil, pass},
		{"IPv6, IPv4 accepted", over6, nftables.ChainPolicyDrop, []rule{join(meta(expr.MetaKeyNFPROTO), cmp(unix.NFPROTO_IPV4), accept)}, nil, policy},
	} {
		r := ruleset{
			{&nftables.Chain{Name: "input", Table: filter, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Policy: &c.policy}, c.rules},
			{&nftables.Chain{Name: "own", Table: filter}, c.own},
		}
		if got := lines(r.findings([]Packet{c.packet, c.packet})); !strings.HasPrefix(got, c.want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestUsualRulesets: the chains that docker and firewalld make, and a ruleset with every
// chain that it can have, of which all accept.
func TestUsualRulesets(t *testing.T) {
	acceptAll, dropAll := nftables.ChainPolicyAccept, nftables.ChainPolicyDrop
	base := func(family nftables.TableFamily, table, name string, kind nftables.ChainType, hook *nftables.ChainHook, policy *nftables.ChainPolicy, rules ...rule) chain {
		return chain{&nftables.Chain{Name: name, Table: &nftables.Table{Family: family, Name: table}, Type: kind, Hooknum: hook, Policy: policy}, rules}
	}
	packets := []Packet{stream, answer, igmp, over6, out}
	for _, c := range []struct {
		name  string
		rules ruleset
		want  []string // parts of the line
	}{
		{"nothing", nil, []string{"ok "}},
		{"all accept", ruleset{
			base(nftables.TableFamilyINet, "filter", "input", nftables.ChainTypeFilter, nftables.ChainHookInput, &acceptAll, join(&expr.Counter{}), join(isTCP, accept)),
			base(nftables.TableFamilyINet, "filter", "output", nftables.ChainTypeFilter, nftables.ChainHookOutput, &acceptAll, join(accept)),
			base(nftables.TableFamilyIPv4, "raw", "PREROUTING", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, &acceptAll),
		}, []string{"ok "}},
		{"docker's", ruleset{
			base(nftables.TableFamilyIPv4, "filter", "INPUT", nftables.ChainTypeFilter, nftables.ChainHookInput, &acceptAll),
			base(nftables.TableFamilyIPv4, "filter", "FORWARD", nftables.ChainTypeFilter, nftables.ChainHookForward, &dropAll, join(call("DOCKER-USER")), join(drop)),
			base(nftables.TableFamilyIPv4, "nat", "PREROUTING", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, &acceptAll, join(call("DOCKER"))),
			base(nftables.TableFamilyIPv4, "filter", "DOCKER-USER", "", nil, nil, join(back)),
		}, []string{"ok "}},
		{"firewalld's", ruleset{
			base(nftables.TableFamilyINet, "firewalld", "filter_PREROUTING", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, &acceptAll,
				join(meta(expr.MetaKeyNFPROTO), cmp(unix.NFPROTO_IPV6), &expr.Fib{Register: 1, ResultOIF: true}, cmp(0, 0, 0, 0), drop)),
			base(nftables.TableFamilyINet, "firewalld", "filter_INPUT", nftables.ChainTypeFilter, nftables.ChainHookInput, &acceptAll,
				join(inState(2|4), accept), join(inState(1), drop), join(call("filter_INPUT_ZONES")), join(&expr.Reject{})),
			base(nftables.TableFamilyINet, "firewalld", "filter_INPUT_ZONES", "", nil, nil, join(dport(16000), accept)),
			base(nftables.TableFamilyINet, "firewalld", "filter_OUTPUT", nftables.ChainTypeFilter, nftables.ChainHookOutput, &acceptAll),
		}, []string{"note ", "chains inet firewalld filter_INPUT (a rule drops or rejects), inet firewalld filter_PREROUTING (a rule drops or rejects) ",
			"in the way of answers (udp sport 7500), IGMP (ip protocol igmp), the stream over IPv6 (udp dport 16000): ",
			": nft insert rule inet firewalld filter_INPUT udp sport 7500 accept, and so on for each; nft list"}},
	} {
		got := lines(c.rules.findings(packets))
		if strings.Count(got, "\n") != 1 {
			t.Errorf("%s: not one line: %q", c.name, got)
		}
		for _, part := range c.want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q is not in %q", c.name, part, got)
			}
		}
		if got := c.rules.findings(nil); len(got) > 0 {
			t.Errorf("%s: with nothing to look for: %v", c.name, got)
		}
	}
}

// Only chains of the packet's family count, and none of the other direction.
func TestFamilies(t *testing.T) {
	policy := nftables.ChainPolicyDrop
	packet := func(to string) Packet {
		return Packet{Name: "it", Protocol: UDP, To: netip.MustParseAddrPort(to), Rule: "udp dport 16000"}
	}
	for _, c := range []struct {
		family nftables.TableFamily
		kind   nftables.ChainType
		hook   *nftables.ChainHook
		to     string
		stands bool
	}{
		{nftables.TableFamilyIPv4, nftables.ChainTypeFilter, nftables.ChainHookInput, "239.1.1.1:16000", true},
		{nftables.TableFamilyIPv4, nftables.ChainTypeFilter, nftables.ChainHookPrerouting, "239.1.1.1:16000", true},
		{nftables.TableFamilyIPv4, nftables.ChainTypeFilter, nftables.ChainHookForward, "239.1.1.1:16000", false},
		{nftables.TableFamilyIPv4, nftables.ChainTypeFilter, nftables.ChainHookOutput, "239.1.1.1:16000", false},
		{nftables.TableFamilyIPv4, nftables.ChainTypeNAT, nftables.ChainHookInput, "239.1.1.1:16000", false},
		{nftables.TableFamilyIPv4, nftables.ChainTypeFilter, nftables.ChainHookInput, "[ff15::1]:16000", false},
		{nftables.TableFamilyIPv6, nftables.ChainTypeFilter, nftables.ChainHookInput, "[ff15::1]:16000", true},
		{nftables.TableFamilyIPv6, nftables.ChainTypeFilter, nftables.ChainHookInput, "239.1.1.1:16000", false},
		{nftables.TableFamilyBridge, nftables.ChainTypeFilter, nftables.ChainHookInput, "239.1.1.1:16000", false},
	} {
		r := ruleset{{&nftables.Chain{
			Name: "c", Table: &nftables.Table{Family: c.family, Name: "t"}, Type: c.kind, Hooknum: c.hook, Policy: &policy}, nil}}
		if stands := r.findings([]Packet{packet(c.to)})[0].Level != OK; stands != c.stands {
			t.Errorf("family %d, %s, hook %d, to %s: %v, want %v", c.family, c.kind, *c.hook, c.to, stands, c.stands)
		}
	}
}
