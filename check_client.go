package multiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"multiserver/internal/netcheck"
	"multiserver/internal/probe"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// CheckClient looks at what a Client of that configuration would need, asks for a
// server and for a few hundred packets to the stream's group, and tells each finding
// as soon as it is there, on the caller's goroutine. It writes nothing, is no client to
// the server, and ends within 10 s. The error wraps ErrConfig, or is ctx's.
func CheckClient(ctx context.Context, cfg ClientConfig, tell func(Finding)) error {
	cfg.Log = slog.New(slog.DiscardHandler)
	cfg.StartTimeout = checkSearch
	c, err := NewClient(cfg)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	k := clientChecker{checker{tell}, c}
	if interfaces := k.network(cfg.Interface, c.cfg.Group); interfaces != nil {
		querier := k.listenForQuerier(limited, interfaces, c.cfg.Group)
		k.session(limited, interfaces)
		querier()
	}
	return ctx.Err()
}

type clientChecker struct {
	checker
	*Client
}

// session looks for a server, and at how its stream arrives.
func (k clientChecker) session(ctx context.Context, interfaces []udp.Interface) {
	stream, err := udp.ListenGroup(udp.ReceiverConfig{Group: netip.AddrPortFrom(k.cfg.Group, k.cfg.Port), Interfaces: interfaces})
	if err != nil {
		k.wrong("group", "name another interface with -i", "cannot join: %v", err)
		return
	}
	defer stream.Close()
	k.buffer(stream)
	conn, err := k.listen(interfaces)
	if err != nil {
		k.wrong("socket", "leave out -f, or end the program that has the port", "%v", err)
		return
	}
	defer conn.Close()
	if limit, ok := ctx.Deadline(); ok {
		conn.SetWriteDeadline(limit)
	}

	found, err := k.find(ctx, conn, interfaces)
	if err != nil {
		k.noServer(err, interfaces)
		k.all(netcheck.Firewall(append(k.searchPackets(interfaces), membershipPackets(interfaces, k.cfg.Group)...)))
		return
	}
	in := []udp.Interface{}
	if i, err := udp.InterfaceByName(udp.InterfaceName(found.ifIndex)); err == nil {
		in = append(in, i)
	}
	serves := fmt.Sprintf("%s serves %s of %d bytes, and answers on %s", found.server, found.Name, found.SizeBytes, udp.InterfaceName(found.ifIndex))
	packets := membershipPackets(in, k.cfg.Group)
	switch {
	case found.session == nil:
		why := "it is one of 2012"
		if found.HasTrailer {
			why = "or with --mxb1 here"
		}
		k.ok("server", "%s, over MXB 1", serves)
		k.note("group", "", "over MXB 1 (%s) nothing can be asked for but the image: whether the group arrives is not checked", why)
		packets = append(packets, k.streamPacket(in, found.server, netip.AddrPortFrom(k.cfg.Group, k.cfg.Port))...)
	case !found.session.Data.IsValid():
		k.ok("server", "%s, over MXB 2", serves)
		k.note("group", "", "the server sends by unicast only: there is none to check")
	case len(in) == 0:
		k.wrong("interface", "try again", "%s has gone", udp.InterfaceName(found.ifIndex))
	default:
		k.ok("server", "%s, over MXB 2", serves)
		if !k.group(ctx, conn, found, in[0]) {
			packets = append(packets, k.streamPacket(in, found.server, found.session.Data)...)
		}
	}
	if ctx.Err() == nil {
		k.all(netcheck.Firewall(packets))
	}
}

func (k clientChecker) noServer(err error, interfaces []udp.Interface) {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		k.wrong("server", "", "the search for it was not over in time")
	case errors.Is(err, ErrTimeLimit):
		k.wrong("server", k.findHint(interfaces), "none answers within %s", checkSearch)
	default:
		k.wrong("server", "see that the two sides agree", "%v", err)
	}
}

// searchPackets are those that a search lives by, on each interface.
func (k clientChecker) searchPackets(interfaces []udp.Interface) (packets []netcheck.Packet) {
	ask := netip.AddrPortFrom(k.cfg.Group, k.cfg.ControlPort)
	for _, each := range interfaces {
		own := ownAddr(each, k.cfg.Group)
		p := netcheck.Packet{Protocol: netcheck.UDP, Interface: each.Name, Index: each.Index}
		p.Name, p.Out, p.To, p.Rule = "questions to servers", true, ask, fmt.Sprintf("udp dport %d", k.cfg.ControlPort)
		packets = append(packets, p)
		p.Name, p.Out, p.To, p.Rule = "servers' answers", false, netip.AddrPortFrom(own, k.cfg.FromPort), fmt.Sprintf("udp sport %d", k.cfg.ControlPort)
		p.From, p.Answer = netip.AddrPortFrom(netip.Addr{}, k.cfg.ControlPort), k.cfg.ControlHost != ""
		packets = append(packets, p)
	}
	return append(packets, k.streamPacket(interfaces, netip.AddrPort{}, netip.AddrPortFrom(k.cfg.Group, k.cfg.Port))...)
}

func (k clientChecker) streamPacket(interfaces []udp.Interface, from, to netip.AddrPort) (packets []netcheck.Packet) {
	for _, each := range interfaces {
		packets = append(packets, netcheck.Packet{
			Name: "the stream", Protocol: netcheck.UDP, From: from, To: to,
			Interface: each.Name, Index: each.Index, Rule: fmt.Sprintf("udp dport %d", to.Port()),
		})
	}
	return packets
}

// ownAddr is i's first address of the group's family; not valid if it has none.
func ownAddr(i udp.Interface, group netip.Addr) netip.Addr {
	for _, own := range i.Addrs {
		if own.Addr().Is4() == group.Is4() {
			return own.Addr()
		}
	}
	return netip.Addr{}
}

// group asks for trains of probes to the data group, and tells whether it arrives.
func (k clientChecker) group(ctx context.Context, conn *udp.Conn, found found, i udp.Interface) bool {
	stream, err := udp.ListenGroup(udp.ReceiverConfig{Group: found.session.Data, Interfaces: []udp.Interface{i}})
	if err != nil {
		k.wrong("group", "name another interface with -i", "cannot join: %v", err)
		return false
	}
	defer stream.Close()
	t := trainListener{found: found, id: k.id}
	if err := t.listen(ctx, conn, stream); err != nil {
		k.wrong("group", "try again", "%v", err)
		return false
	}
	t.drops = stream.Drops()
	k.all(t.findings(i))
	return t.arrives()
}

// trainListener asks for trains of probes and listens to what arrives.
type trainListener struct {
	found found
	id    wire.ReceiverID

	trains  []probes // that are over, and the one that is not
	symbols int      // packets of the stream
	bytes   int      // of them, as on the wire
	others  int      // packets of other sessions
	drops   uint64   // at this host's socket
	began   time.Time
	took    time.Duration
}

const (
	// checkTrains are enough to tell loss by; they are asked for checkAsks times at most,
	// with a pause that a server takes no exception to (probe.AskedPause).
	checkTrains = 3
	checkAsks   = 5
	checkPause  = 300 * time.Millisecond
)

// listen returns when enough has arrived or been asked for.
func (t *trainListener) listen(ctx context.Context, conn *udp.Conn, stream *udp.Receiver) error {
	in := udp.NewBatch()
	t.began = time.Now()
	defer func() { t.took = time.Since(t.began) }()
	question := wire.ProbeReport{Session: t.found.session.Session, Receiver: t.id}.AppendTo(nil)
	for asks := 0; asks < checkAsks && len(t.trains) < checkTrains; asks++ {
		if err := conn.WriteTo(question, t.found.server, t.found.askFrom); err != nil {
			return err
		}
		for until := time.Now().Add(checkPause); ; {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			stream.SetReadDeadline(until)
			err := stream.Receive(in)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return err
			}
			now := time.Now()
			for _, datagram := range in.Datagrams() {
				t.take(now, datagram.Payload)
			}
			if !now.Before(until) { // a stream that runs leaves no pause
				break
			}
		}
	}
	return nil
}

// take takes in one packet of the data group.
func (t *trainListener) take(now time.Time, b []byte) {
	kind, session, err := wire.Peek(b)
	if err != nil {
		return
	}
	if session != t.found.session.Session {
		t.others++
		return
	}
	switch kind {
	case wire.TypeProbe:
		p, err := wire.ParseProbe(b)
		if err != nil {
			return
		}
		last := len(t.trains) - 1
		if last < 0 || p.Train > t.trains[last].train {
			t.trains = append(t.trains, probes{})
			last++
		}
		t.trains[last].hear(now, p)
	case wire.TypeSymbol:
		t.symbols++
		t.bytes += udp.PacketWireBytes(t.found.session.Data.Addr(), len(b))
	}
}

func (t *trainListener) arrives() bool { return len(t.trains) > 0 || t.symbols > 0 }

// packetSize is that of the session's packets, and what they make an MTU of.
func (t *trainListener) packetSize() (payload, mtu int) {
	payload = int(t.found.session.SymbolSize) + wire.SymbolHeaderSize
	return payload, payload + udp.HeaderBytes(t.found.session.Data.Addr())
}

// findings judges what arrived by an interface.
func (t *trainListener) findings(i udp.Interface) (all []Finding) {
	k := checker{func(f Finding) { all = append(all, f) }}
	data := t.found.session.Data
	if !t.arrives() {
		k.wrong("group", fmt.Sprintf("a firewall here (UDP port %d, %s), a switch that snoops without a querier, or not the server's VLAN; until then --unicast always", data.Port(), udp.MembershipProtocol(data.Addr())),
			"%s does not arrive on %s, although the server answers", data, i.Name)
		return all
	}
	k.ok("group", "%s arrives on %s", data, i.Name)
	if t.others > 0 {
		k.note("group", "give each server a --data-group of its own", "%d packets in it are of another session", t.others)
	}
	t.judgeTrains(k, i)
	if t.symbols > 0 {
		k.ok("stream", "it is running, at %s", rateText(8*float64(t.bytes)/t.took.Seconds()))
	}
	return all
}

func (t *trainListener) judgeTrains(k checker, i udp.Interface) {
	payload, mtu := t.packetSize()
	heard, sent, large, fastest, bursts := 0, 0, t.symbols > 0, 0.0, 0
	for _, train := range t.trains {
		counts := probe.Full(payload)
		if train.steps[probe.StepFirst].seen[0]>>probe.Few == 0 && train.steps[probe.StepBurst].heard == 0 { // of a server with --rate, or all is lost
			counts = probe.Short()
		}
		for n, s := range train.steps {
			sent += counts[n]
			heard += int(s.heard)
			large = large || int(s.largest) >= payload
		}
		if s := train.steps[probe.StepBurst]; s.heard >= 2 {
			bursts++
			bits := float64(8 * udp.PacketWireBytes(t.found.session.Data.Addr(), payload) * int(s.heard-1))
			fastest = max(fastest, bits/max(s.last.Sub(s.first), time.Microsecond).Seconds())
		}
	}
	if !large {
		k.wrong("MTU", fmt.Sprintf("start the server without --mtu, or raise the MTU of the path: %s has %d", i.Name, i.MTU),
			"packets of %d bytes do not arrive, while small ones do", mtu)
		return
	}
	k.ok("MTU", "packets of %d bytes arrive", mtu)
	if sent == 0 {
		return
	}
	if lost := max(0, sent-heard); lost > 0 {
		advice := "it is repaired, at the price of time: look at the cable, the duplex, and the switch's counters"
		if t.drops > 0 {
			advice = "this host dropped some itself: see the buffer"
		}
		k.note("loss", advice, "%d of %d packets lost (%.1f%%)", lost, sent, 100*float64(lost)/float64(sent))
	} else {
		k.ok("loss", "none of %d packets lost", sent)
	}
	const gigabit = 900_000_000 // with what is late on the way
	switch {
	case bursts == 0:
	case fastest >= gigabit:
		k.ok("rate", "at least 1 Gbit/s")
	default:
		k.ok("rate", "about %s", rateText(fastest))
	}
}
