package netcheck

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
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
	isUDP  = []expr.Any{meta(expr.MetaKeyL4PROTO), cmp(unix.IPPROTO_UDP)}
	isTCP  = []expr.Any{meta(expr.MetaKeyL4PROTO), cmp(unix.IPPROTO_TCP)}
	limit  = &expr.Limit{Rate: 1}
)

func jump(to string) *expr.Verdict { return &expr.Verdict{Kind: expr.VerdictJump, Chain: to} }

// inState is: ct state states.
func inState(states uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(states), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
	}
}

// rule puts conditions and a verdict together.
func rule(parts ...any) (all []expr.Any) {
	for _, p := range parts {
		switch p := p.(type) {
		case []expr.Any:
			all = append(all, p...)
		case expr.Any:
			all = append(all, p)
		}
	}
	return all
}

func dport(p uint16) []expr.Any { return rule(isUDP, transport(2), cmp(port(p)...)) }

func TestRuleset(t *testing.T) {
	stream := Packet{
		Name: "the stream", Protocol: UDP, Interface: "eth0", Index: 2, Rule: "udp dport 16000",
		From: netip.MustParseAddrPort("10.0.0.1:7500"), To: netip.MustParseAddrPort("239.192.1.1:16000"),
	}
	answer := Packet{
		Name: "answers", Protocol: UDP, Interface: "eth0", Rule: "udp sport 7500",
		From: netip.AddrPortFrom(netip.Addr{}, 7500), To: netip.MustParseAddrPort("10.0.0.2:0"),
	}
	solicited := answer
	solicited.Answer = true
	igmp := Packet{Name: "IGMP", Protocol: IGMP, To: netip.MustParseAddrPort("224.0.0.1:0"), Rule: "ip protocol igmp"}
	out := stream
	out.Out = true
	over6 := stream
	over6.From, over6.To = netip.MustParseAddrPort("[fe80::1]:7500"), netip.MustParseAddrPort("[ff15::1]:16000")

	sets := map[string][]nftables.SetElement{
		"inet filter ports":     {{Key: port(22)}, {Key: port(16000)}},
		"inet filter others":    {{Key: port(22)}, {Key: port(80)}},
		"inet filter intervals": {{Key: port(0), IntervalEnd: true}, {Key: port(20000), IntervalEnd: true}, {Key: port(16000)}},
		"inet filter below":     {{Key: port(15000)}, {Key: port(16000), IntervalEnd: true}},
		"inet filter states":    {{Key: native(stateEstablished), VerdictData: accept}, {Key: native(stateNew), VerdictData: jump("new")}},
		"inet filter sources":   {{Key: []byte{10, 0, 0, 9}}},
	}
	lookup := func(name string) expr.Any { return &expr.Lookup{SourceRegister: 1, SetName: name} }
	const pass = "ok "
	for _, c := range []struct {
		name   string
		packet Packet
		policy nftables.ChainPolicy
		rules  [][]expr.Any
		extra  map[string][][]expr.Any // chains that are jumped to
		want   string                  // the line's beginning, or a part of it
	}{
		{"no rule", stream, nftables.ChainPolicyAccept, nil, nil, pass},
		{"policy drop", stream, nftables.ChainPolicyDrop, nil, nil,
			"WRONG firewall: chain inet filter input may stand in the way of the stream: its policy is drop: nft insert rule inet filter input udp dport 16000 accept"},
		{"its port accepted", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(dport(16000), accept)}, nil, pass},
		{"another port accepted", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(dport(22), accept)}, nil, "WRONG "},
		{"TCP dropped", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(isTCP, drop)}, nil, pass},
		{"UDP dropped", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(isTCP, accept), rule(isUDP, drop)}, nil, "rule 2 of chain input drops it"},
		{"UDP rejected", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(isUDP, &expr.Counter{}, &expr.Reject{})}, nil, "WRONG "},
		{"rejected by iptables", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(isUDP, &expr.Target{Name: "REJECT"})}, nil, "WRONG "},
		{"logged only", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(isUDP, &expr.Log{}, &expr.Counter{})}, nil, pass},
		{"multicast dropped", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(meta(expr.MetaKeyPKTTYPE), cmp(unix.PACKET_MULTICAST), drop)}, nil, "WRONG "},
		{"multicast dropped, a unicast", answer, nftables.ChainPolicyAccept, [][]expr.Any{rule(meta(expr.MetaKeyPKTTYPE), cmp(unix.PACKET_MULTICAST), drop)}, nil, pass},
		{"a net dropped", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(address(16), &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte{240, 0, 0, 0}, Xor: make([]byte, 4)}, cmp(224, 0, 0, 0), drop)}, nil, "WRONG "},
		{"an address accepted", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(address(12), cmp(10, 0, 0, 1), accept)}, nil, pass},
		{"an unknown address accepted", answer, nftables.ChainPolicyDrop, [][]expr.Any{rule(address(12), cmp(10, 0, 0, 1), accept)}, nil, "note  firewall: chain inet filter input may stand in the way of answers: its policy is drop"},
		{"kind of address", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true}, cmp(native(unix.RTN_MULTICAST)...), accept)}, nil, pass},
		{"interface", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(meta(expr.MetaKeyIIFNAME), cmp([]byte("eth0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")...), accept)}, nil, pass},
		{"interface by its beginning", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(meta(expr.MetaKeyIIFNAME), cmp([]byte("eth")...), accept)}, nil, pass},
		{"loopback only", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(meta(expr.MetaKeyIIF), cmp(native(1)...), accept)}, nil, "WRONG "},
		{"established only", answer, nftables.ChainPolicyDrop, [][]expr.Any{rule(inState(stateEstablished), accept)}, nil, "WRONG "},
		{"established, and asked there", solicited, nftables.ChainPolicyDrop, [][]expr.Any{rule(inState(stateEstablished), accept)}, nil, pass},
		{"invalid dropped", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(inState(1), drop)}, nil, pass},
		{"ports in a range", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(isUDP, transport(2), &expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: port(15000), ToData: port(16000)}, accept)}, nil, pass},
		{"ports from one on", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(isUDP, transport(2), &expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: port(16001)}, accept)}, nil, "WRONG "},
		{"a set", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(isUDP, transport(2), lookup("ports"), accept)}, nil, pass},
		{"a set of others", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(isUDP, transport(2), lookup("others"), accept)}, nil, "WRONG "},
		{"not in a set", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(isUDP, transport(2), &expr.Lookup{SourceRegister: 1, SetName: "others", Invert: true}, drop)}, nil, "WRONG "},
		{"intervals", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(isUDP, transport(2), lookup("intervals"), accept)}, nil, pass},
		{"an interval that ends before", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(isUDP, transport(2), lookup("below"), accept)}, nil, "WRONG "},
		{"a set that is not known", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(isUDP, transport(2), lookup("gone"), accept)}, nil, "note "},
		{"banned sources", answer, nftables.ChainPolicyAccept, [][]expr.Any{rule(address(12), lookup("sources"), drop)}, nil, pass},
		{"a map to verdicts", stream, nftables.ChainPolicyDrop,
			[][]expr.Any{rule(&expr.Ct{Register: 1, Key: expr.CtKeySTATE}, &expr.Lookup{SourceRegister: 1, SetName: "states", IsDestRegSet: true})},
			map[string][][]expr.Any{"new": {rule(dport(16000), accept)}}, pass},
		{"a map to a chain that drops", stream, nftables.ChainPolicyAccept,
			[][]expr.Any{rule(&expr.Ct{Register: 1, Key: expr.CtKeySTATE}, &expr.Lookup{SourceRegister: 1, SetName: "states", IsDestRegSet: true})},
			map[string][][]expr.Any{"new": {rule(drop)}}, "WRONG firewall: chain inet filter input may stand in the way of the stream: rule 1 of chain new drops it"},
		{"a limit", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(isUDP, limit, drop)}, nil, "note "},
		{"a limit on anything", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(limit, drop)}, nil, pass},
		{"a limit, then drop", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(limit, accept), rule(drop)}, nil, "note "},
		{"a chain that returns", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(jump("own"))}, map[string][][]expr.Any{"own": {rule(isUDP, back), rule(drop)}}, pass},
		{"a chain that may return", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(isUDP, jump("own"))}, map[string][][]expr.Any{"own": {rule(limit, back), rule(drop)}}, "note "},
		{"a chain that calls itself", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(jump("own"))}, map[string][][]expr.Any{"own": {rule(jump("own"))}}, pass},
		{"a chain that nobody has", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(jump("gone"))}, nil, pass},
		{"goto", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(&expr.Verdict{Kind: expr.VerdictGoto, Chain: "own"}), rule(accept)}, map[string][][]expr.Any{"own": nil}, "WRONG "},
		{"iptables' ports", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(&expr.Match{Name: "udp", Info: &xt.Udp{SrcPorts: [2]uint16{0, 0xFFFF}, DstPorts: [2]uint16{16000, 16000}}}, accept)}, nil, pass},
		{"iptables' other ports", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(&expr.Match{Name: "udp", Info: &xt.Udp{SrcPorts: [2]uint16{0, 0xFFFF}, DstPorts: [2]uint16{1, 9}}}, accept)}, nil, "WRONG "},
		{"iptables' kind of address", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(&expr.Match{Name: "addrtype", Info: &xt.AddrTypeV1{Dest: 1 << unix.RTN_MULTICAST}}, accept)}, nil, pass},
		{"iptables' state", answer, nftables.ChainPolicyDrop, [][]expr.Any{rule(&expr.Match{Name: "conntrack", Info: &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{ConntrackMtinfoBase: xt.ConntrackMtinfoBase{MatchFlags: 1}, StateMask: stateEstablished}}}, accept)}, nil, "WRONG "},
		{"iptables' TCP", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(&expr.Match{Name: "tcp", Info: &xt.Tcp{}}, drop)}, nil, pass},
		{"iptables' comment", stream, nftables.ChainPolicyAccept, [][]expr.Any{rule(isUDP, &expr.Match{Name: "comment", Info: new(xt.Comment)}, drop)}, nil, "WRONG "},
		{"iptables' what else", stream, nftables.ChainPolicyDrop, [][]expr.Any{rule(&expr.Match{Name: "owner", Info: &xt.Unknown{}}, accept)}, nil, "note "},
		{"IGMP with policy drop", igmp, nftables.ChainPolicyDrop, nil, nil, "note  firewall: chain inet filter input may stand in the way of IGMP: its policy is drop: nft insert rule inet filter input ip protocol igmp accept"},
		{"IGMP accepted", igmp, nftables.ChainPolicyDrop, [][]expr.Any{rule(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 9, Len: 1}, cmp(IGMP), accept)}, nil, pass},
		{"IGMP, ports", igmp, nftables.ChainPolicyDrop, [][]expr.Any{rule(dport(16000), accept)}, nil, "note "},
		{"what leaves", out, nftables.ChainPolicyDrop, nil, nil, pass},
		{"IPv6", over6, nftables.ChainPolicyDrop, [][]expr.Any{rule(meta(expr.MetaKeyNFPROTO), cmp(unix.NFPROTO_IPV6), dport(16000), accept)}, nil, pass},
		{"IPv6, IPv4 accepted", over6, nftables.ChainPolicyDrop, [][]expr.Any{rule(meta(expr.MetaKeyPROTOCOL), cmp(port(unix.ETH_P_IP)...), accept)}, nil, "WRONG "},
	} {
		table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "filter"}
		r := &ruleset{sets: sets, chains: []chain{
			{&nftables.Chain{Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Policy: &c.policy}, c.rules},
		}}
		for name, rules := range c.extra {
			r.chains = append(r.chains, chain{&nftables.Chain{Name: name, Table: table}, rules})
		}
		got := r.findings([]Packet{c.packet, c.packet})
		if len(got) != 1 {
			t.Errorf("%s: %d findings, want 1:\n%s", c.name, len(got), lines(got))
			continue
		}
		line := got[0].String()
		if strings.HasPrefix(c.want, "rule") && strings.Contains(line, c.want) || strings.HasPrefix(line, c.want) {
			continue
		}
		t.Errorf("%s: %q, want %q", c.name, line, c.want)
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
		r := &ruleset{chains: []chain{{&nftables.Chain{
			Name: "c", Table: &nftables.Table{Family: c.family, Name: "t"}, Type: c.kind, Hooknum: c.hook, Policy: &policy}, nil}}}
		if _, stands := r.judge(packet(c.to)); stands != c.stands {
			t.Errorf("family %d, %s, hook %d, to %s: %v, want %v", c.family, c.kind, *c.hook, c.to, stands, c.stands)
		}
	}
}
