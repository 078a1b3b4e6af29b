package rooms

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
)

// check runs a program's check in a host, and compares the status.
func (r *room) check(host int, program string, status int, args ...string) *process {
	r.Helper()
	p := r.prepare(r.Hosts[host], program, append([]string{"check"}, args...)...)
	r.start(p)
	p.exits(status)
	if text := p.stderr.String(); text != "" {
		r.Errorf("%s: standard error has %q", p.title, text)
	}
	return p
}

// finds checks that there is a line with each of the words, which begin with its level.
func (p *process) finds(words ...string) {
	p.room.Helper()
	if !slices.ContainsFunc(p.stdout.lines(), func(line string) bool {
		return strings.HasPrefix(line, words[0]) &&
			!slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	}) {
		p.room.Errorf("%s: no line with %q", p.title, words)
	}
}

// serveAtOnce is serve without a rate.
func (r *room) serveAtOnce(args ...string) server {
	r.Helper()
	s := server{r.prepare(r.Hosts[0], lab.BuildOnce(r).Server, append([]string{"--json", "-f", r.image}, args...)...)}
	r.start(s.process)
	s.ready()
	return s
}

// TestCheck: all is well, on both sides, and the check is no client to the server.
func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, 2*mib)
	p := r.check(0, lab.BuildOnce(r).Server, 0, "-f", r.image)
	p.finds("ok    file: ", "2097152 bytes")
	p.finds("ok    control: UDP port 7500 is free")
	p.finds("ok    firewall: no chain of nftables seen that drops ", "clients' questions (udp dport 7500), the stream (udp dport 16000), IGMP queries")
	p.finds("note  pace: eth0 has no queue", "--rate")

	s := r.serveAtOnce("--data-group", dataGroup)
	p = r.check(1, lab.BuildOnce(r).Client, 0)
	p.finds("ok    interface: eth0 is up, 10.77.0.2/24, MTU 1500")
	p.finds("ok    route: none to 225.0.20.10")
	p.finds("ok    buffer: ")
	p.finds("ok    server: 10.77.0.1:7500 serves the.img of 2097152 bytes, and answers on eth0, over MXB 2")
	p.finds("ok    group: " + dataGroup + ":16000 arrives on eth0")
	p.finds("ok    MTU: packets of 1500 bytes arrive")
	p.finds("ok    loss: none of 387 packets lost")
	p.finds("ok    rate: ")
	p.finds("note  querier: no IGMP querier heard in 3s", "multiserver sends them")
	p.finds("ok    firewall: no chain of nftables seen that drops IGMP queries")

	r.check(0, lab.BuildOnce(r).Server, 1).finds("WRONG control: UDP port 7500", "in use by multiserver", ": end what has the port")
	if seen := s.stop().ReceiversSeen; seen != 0 {
		t.Errorf("the server tells of %d clients", seen)
	}
}

// TestCheckJSON: the same findings as objects.
func TestCheckJSON(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	r.serve(0, "--data-group", dataGroup)
	lines := r.check(1, lab.BuildOnce(r).Client, 0, "--json").stdout.lines()
	arrives := false
	for _, line := range lines {
		var f struct{ Level, What, Finding, Advice string }
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		r.must(d.Decode(&f))
		arrives = arrives || f.Level == "ok" && f.What == "group" && strings.HasSuffix(f.Finding, "arrives on eth0")
	}
	if !arrives {
		t.Errorf("no object tells that the group arrives: %q", lines)
	}
}

// TestCheckLoss: the network loses packets.
func TestCheckLoss(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	r.must(r.Hosts[1].SetLoss(20))
	r.serveAtOnce()
	p := r.check(1, lab.BuildOnce(r).Client, 0)
	p.finds("ok    group: ")
	p.finds("note  loss: ", "packets lost (", "look at the cable")
}

// TestCheckStream: somebody receives while the check runs.
func TestCheckStream(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
	r.fill(imageBytes)
	r.serve(0, "--rate", "16M")
	c := r.receive(1)
	c.reaches(0.05)
	p := r.check(2, lab.BuildOnce(r).Client, 0)
	p.finds("ok    stream: it is running, at ", "Mbit/s")
	p.finds("ok    MTU: ")
	finish(c)
}

// TestCheckQuerier: one that asks while the check listens.
func TestCheckQuerier(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	r.serve(0)
	query := []byte{0x11, 1, 0xEE, 0xFE, 0, 0, 0, 0} // of IGMPv2, to be answered within 0.1 s
	var asks func()
	r.must(r.Hosts[0].Do(func() error {
		router, err := r.openPackets(0, "ip4:igmp", r.Hosts[0].Address.Addr().String())
		asks = func() {
			_, err := router.WriteTo(query, nil, &net.IPAddr{IP: net.IPv4allsys})
			r.must(err)
		}
		return err
	}))
	p := r.prepare(r.Hosts[1], lab.BuildOnce(r).Client, "check")
	r.start(p)
	r.await("the check ends", func() bool { asks(); return p.hasEnded() })
	p.finds("ok    querier: 10.77.0.1 is heard on eth0")
}

// TestCheckIPv6: without an address of IPv4.
func TestCheckIPv6(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	r.enableIPv6()
	r.disableIPv4()
	r.serveAtOnce("-g", group6)
	p := r.check(1, lab.BuildOnce(r).Client, 0, "-g", group6)
	p.finds("ok    server: [fe80::", "on eth0, over MXB 2")
	p.finds("ok    group: [ff", "arrives on eth0")
	p.finds("ok    MTU: packets of 1500 bytes arrive")
	r.check(1, lab.BuildOnce(r).Client, 1).finds("WRONG interface: no network interface is up, has an IPv4 address", "-i")
}

// TestCheckNoServer: nobody is there to answer.
func TestCheckNoServer(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, 1)
	p := r.check(1, lab.BuildOnce(r).Client, 1)
	p.finds("WRONG server: none answers within 2.5s", "is multiserver running", "7500")
	p.finds("ok    firewall: ", "servers' answers (udp sport 7500), the stream (udp dport 16000)")
	r.check(1, lab.BuildOnce(r).Client, 1, "-s", "10.77.0.1").finds("WRONG server: ", "is multiserver running on 10.77.0.1")
	r.check(1, lab.BuildOnce(r).Client, 1, "-i", "eth7").finds("WRONG interface: ", "eth7", "eth0")
}

// TestCheckOriginal: a server of 2012 is told, and cannot be asked for more.
func TestCheckOriginal(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, mib)
	r.serveOriginal(0, "the.img")
	p := r.check(1, lab.BuildOnce(r).Client, 0)
	p.finds("ok    server: ", "over MXB 1")
	p.finds("note  group: ", "2012", "not checked")
}

// TestCheckFirewall: a host's own firewall drops what the programs live by.
func TestCheckFirewall(t *testing.T) {
	t.Parallel()
	drop, accept := nftables.ChainPolicyDrop, nftables.ChainPolicyAccept
	t.Run("the stream at the client", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{}, mib)
		r.serve(0, "--data-group", dataGroup)
		r.firewall(1, accept, udpPort(2, 16000, expr.VerdictDrop))
		p := r.check(1, lab.BuildOnce(r).Client, 1)
		p.finds("ok    server: ")
		p.finds("WRONG group: "+dataGroup+":16000 does not arrive on eth0, although the server answers", "firewall here (UDP port 16000, IGMP)", "--unicast always")
		p.finds("note  firewall: chain inet filter input (a rule drops or rejects) may stand in the way of the stream (udp dport 16000): nft insert rule inet filter input udp dport 16000 accept; nft list ruleset")
	})
	t.Run("all but answers at the client", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{}, mib)
		r.serve(0)
		r.firewall(1, drop, udpPort(0, 7500, expr.VerdictAccept))
		p := r.check(1, lab.BuildOnce(r).Client, 0)
		p.finds("ok    group: ") // it comes from the same port
		p.finds("note  firewall: chain inet filter input (policy drop) may stand in the way of IGMP queries (ip protocol igmp): nft insert rule inet filter input ip protocol igmp accept; nft list ruleset")
	})
	t.Run("a set of ports, nobody there", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{}, 1)
		r.firewall(1, drop, []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 2},
			&expr.Lookup{SourceRegister: 1, SetName: "ports"},
			&expr.Verdict{Kind: expr.VerdictAccept},
		})
		p := r.check(1, lab.BuildOnce(r).Client, 1)
		p.finds("WRONG server: none answers")
		p.finds("note  firewall: chain inet filter input (policy drop) may stand in the way of servers' answers (udp sport 7500), ") // sets are not looked into
	})
	t.Run("answers at the client", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{}, mib)
		r.serve(0)
		r.firewall(1, drop)
		p := r.check(1, lab.BuildOnce(r).Client, 1)
		p.finds("WRONG server: none answers")
		p.finds("note  firewall: chain inet filter input (policy drop) ", "in the way of servers' answers (udp sport 7500), the stream (udp dport 16000), IGMP queries", ": nft insert rule inet filter input udp sport 7500 accept, and so on for each")
	})
	t.Run("questions at the server", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{}, mib)
		r.serve(0)
		r.firewall(0, drop, udpPort(2, 22, expr.VerdictAccept))
		r.check(1, lab.BuildOnce(r).Client, 1).finds("WRONG server: none answers")
		p := r.check(0, lab.BuildOnce(r).Server, 0, "-s", "7501")
		p.finds("ok    control: UDP port 7501 is free")
		p.finds("note  firewall: chain inet filter input (policy drop) ", "in the way of clients' questions (udp dport 7501), ", ": nft insert rule inet filter input udp dport 7501 accept, and so on for each")
	})
}

// TestCheckMTU: the server was told of jumbo frames, and the client's link has none.
func TestCheckMTU(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{MTU: 9000}, mib)
	r.serveAtOnce("--mtu", "9000")
	p := r.check(1, lab.BuildOnce(r).Client, 0)
	p.finds("ok    MTU: packets of 9000 bytes arrive")
	p.finds("ok    loss: none of 72 packets lost")
	r.must(r.Hosts[1].Do(func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(eth0, 1500)
	}))
	r.check(1, lab.BuildOnce(r).Client, 1).finds("WRONG MTU: packets of 9000 bytes do not arrive, while small ones do: start the server without --mtu", "eth0 has 1500")
}

// firewall gives a host a chain for what it receives.
func (r *room) firewall(host int, policy nftables.ChainPolicy, rules ...[]expr.Any) {
	r.Helper()
	r.must(r.Hosts[host].Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "filter"})
		input := c.AddChain(&nftables.Chain{
			Name: "input", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &policy,
		})
		// For rules that ask for it: from 7500 to before 7502.
		ports := &nftables.Set{Table: table, Name: "ports", KeyType: nftables.TypeInetService, Interval: true}
		if err := c.AddSet(ports, []nftables.SetElement{{Key: []byte{7500 >> 8, 7500 & 0xFF}}, {Key: []byte{7502 >> 8, 7502 & 0xFF}, IntervalEnd: true}}); err != nil {
			return err
		}
		for _, exprs := range rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: input, Exprs: exprs})
		}
		return c.Flush()
	}))
}

// udpPort is: udp sport (offset 0) or dport (offset 2) port verdict.
func udpPort(offset uint32, port uint16, verdict expr.VerdictKind) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(port >> 8), byte(port)}},
		&expr.Verdict{Kind: verdict},
	}
}
