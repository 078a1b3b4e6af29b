package diagnose

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/discover"
	"multiserver/internal/failure"
	"multiserver/internal/netcheck"
	"multiserver/internal/probe"
	"multiserver/internal/quote"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Client is the configuration of a client, its defaults filled in.
type Client struct {
	Group       netip.Addr
	Port        uint16
	ControlHost string
	ControlPort uint16
	FromPort    uint16
	Interface   string
	TTL         int
	MXB1        discover.MXB1
}

// Check checks what a client needs. It searches for a server, and requests a few hundred packets
// to the stream's group. It writes nothing, does not count as a client, and ends within 10 s.
func (cfg Client) Check(ctx context.Context, tell func(Finding)) error {
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	k := clientChecker{checker{tell, "ClientConfig"}, cfg, wire.ReceiverID(rand.Uint64())}
	if interfaces := k.network(cfg.Interface, cfg.Group); interfaces != nil {
		querier := k.listenForQuerier(limited, interfaces, cfg.Group)
		k.session(limited, interfaces)
		querier()
	}
	return ctx.Err()
}

type clientChecker struct {
	checker
	cfg Client
	id  wire.ReceiverID
}

// search returns the search of such a client.
func (k clientChecker) search(interfaces []udp.Interface) *discover.Search {
	return &discover.Search{
		Question:    discover.Question{Receiver: k.id, Group: k.cfg.Group, MXB1: k.cfg.MXB1},
		ControlHost: k.cfg.ControlHost, ControlPort: k.cfg.ControlPort, Interface: k.cfg.Interface, Interfaces: interfaces,
		Limit: checkSearch, Account: new(account.Client), Log: slog.New(slog.DiscardHandler),
	}
}

// session searches for a server, and checks whether its stream arrives.
func (k clientChecker) session(ctx context.Context, interfaces []udp.Interface) {
	stream, err := udp.ListenGroup(udp.ReceiverConfig{Group: netip.AddrPortFrom(k.cfg.Group, k.cfg.Port), Interfaces: interfaces})
	if err != nil {
		k.wrong("group", "name another interface with "+k.setting("Interface"), "cannot join: %v", err)
		return
	}
	defer stream.Close()
	k.buffer(stream)
	conn, err := discover.Listen(k.cfg.Group, k.cfg.FromPort, k.cfg.TTL, interfaces)
	if err != nil {
		k.wrong("socket", "leave out ClientConfig.FromPort, or end the program that has the port", "%v", err)
		return
	}
	defer conn.Close()
	if limit, ok := ctx.Deadline(); ok {
		conn.SetWriteDeadline(limit)
	}

	search := k.search(interfaces)
	found, err := search.Find(ctx, conn)
	if err == nil {
		err = search.Settle(ctx, conn, &found)
	}
	if err != nil {
		k.noServer(err, search)
		k.all(netcheck.Firewall(append(k.searchPackets(interfaces), membershipPackets(k.cfg.Group)...)))
		return
	}
	in := []udp.Interface{}
	if i, err := udp.InterfaceByName(udp.InterfaceName(found.IfIndex)); err == nil {
		in = append(in, i)
	}
	serves := fmt.Sprintf("%s serves %s of %d bytes, and answers on %s", found.Server, quote.Name(found.Name), found.SizeBytes, udp.InterfaceName(found.IfIndex))
	packets := membershipPackets(k.cfg.Group)
	switch {
	case found.Session == nil:
		why := "it is one of 2012"
		if found.HasTrailer {
			why = "or with ClientConfig.MXB1 only here"
		}
		k.ok("server", "%s, over MXB 1", serves)
		k.note("group", "", "over MXB 1 (%s) nothing can be asked for but the image: whether the group arrives is not checked", why)
		packets = append(packets, streamPacket(found.Server, netip.AddrPortFrom(k.cfg.Group, k.cfg.Port)))
	case !found.Session.Data.IsValid():
		k.ok("server", "%s, over MXB 2", serves)
		k.note("group", "", "the server sends by unicast only: there is none to check")
	case len(in) == 0:
		k.wrong("interface", "try again", "%s has gone", udp.InterfaceName(found.IfIndex))
	default:
		k.ok("server", "%s, over MXB 2", serves)
		if !k.group(ctx, conn, found, in[0]) {
			packets = append(packets, streamPacket(found.Server, found.Session.Data))
		}
	}
	if len(in) == 0 {
		packets = nil
	}
	if ctx.Err() == nil {
		k.all(netcheck.Firewall(packets))
	}
}

func (k clientChecker) noServer(err error, search *discover.Search) {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		k.wrong("server", "", "the search for it was not over in time")
	case errors.Is(err, failure.ErrTimeLimit):
		k.wrong("server", search.Hint(), "none answers within %s", checkSearch)
	default:
		k.wrong("server", "see that the two sides agree", "%v", err)
	}
}

// searchPackets are the packets of a search, on each interface.
func (k clientChecker) searchPackets(interfaces []udp.Interface) (packets []netcheck.Packet) {
	ask := netip.AddrPortFrom(k.cfg.Group, k.cfg.ControlPort)
	for _, each := range interfaces {
		own := ownAddr(each, k.cfg.Group)
		p := netcheck.Packet{Protocol: netcheck.UDP}
		p.Name, p.Out, p.To, p.Rule = "questions to servers", true, ask, fmt.Sprintf("udp dport %d", k.cfg.ControlPort)
		packets = append(packets, p)
		p.Name, p.Out, p.To, p.Rule = "servers' answers", false, netip.AddrPortFrom(own, k.cfg.FromPort), fmt.Sprintf("udp sport %d", k.cfg.ControlPort)
		p.From = netip.AddrPortFrom(netip.Addr{}, k.cfg.ControlPort)
		packets = append(packets, p)
	}
	return append(packets, streamPacket(netip.AddrPort{}, netip.AddrPortFrom(k.cfg.Group, k.cfg.Port)))
}

func streamPacket(from, to netip.AddrPort) netcheck.Packet {
	return netcheck.Packet{
		Name: "the stream", Protocol: netcheck.UDP, From: from, To: to,
		Rule: fmt.Sprintf("udp dport %d", to.Port()),
	}
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

// group asks for trains of probes to the data group, and reports whether it arrives.
func (k clientChecker) group(ctx context.Context, conn *udp.Conn, found discover.Offer, i udp.Interface) bool {
	stream, err := udp.ListenGroup(udp.ReceiverConfig{Group: found.Session.Data, Interfaces: []udp.Interface{i}})
	if err != nil {
		k.wrong("group", "name another interface with "+k.setting("Interface"), "cannot join: %v", err)
		return false
	}
	defer stream.Close()
	t := trainListener{found: found, id: found.Session.Receiver}
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
	found discover.Offer
	id    wire.ReceiverID

	trains  []probe.Train // the last may not be over
	symbols int           // packets of the stream
	bytes   int           // of them, as on the wire
	others  int           // packets of other sessions
	drops   uint64        // at this host's socket
	began   time.Time
	took    time.Duration
}

const (
	// checkTrains trains are enough to measure loss. They are requested checkAsks times at
	// most, with a pause that the server accepts (probe.AskedPause).
	checkTrains = 3
	checkAsks   = 5
	checkPause  = 300 * time.Millisecond
)

// listen returns once enough trains have arrived or been requested.
func (t *trainListener) listen(ctx context.Context, conn *udp.Conn, stream *udp.Receiver) error {
	in := udp.NewBatch()
	t.began = time.Now()
	defer func() { t.took = time.Since(t.began) }()
	if d := t.found.Session; d.Answer.Proof != 0 { // only those that prove their address get trains
		proof := wire.AddressProof{Session: d.Session, Receiver: t.id, Proof: d.Answer.Proof, Digest: d.Answer.Private.Digest(t.id)}
		if err := conn.WriteTo(proof.AppendTo(nil), t.found.Server, t.found.AskFrom); err != nil {
			return err
		}
	}
	question := wire.ProbeReport{Session: t.found.Session.Session, Receiver: t.id}.AppendTo(nil)
	for asks := 0; asks < checkAsks && len(t.trains) < checkTrains; asks++ {
		if err := conn.WriteTo(question, t.found.Server, t.found.AskFrom); err != nil {
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
				t.handle(now, datagram.Payload)
			}
			if !now.Before(until) { // a stream that runs leaves no pause
				break
			}
		}
	}
	return nil
}

// handle handles one packet of the data group.
func (t *trainListener) handle(now time.Time, b []byte) {
	kind, session, err := wire.Peek(b)
	if err != nil {
		return
	}
	if session != t.found.Session.Session {
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
		if last < 0 || p.Train > t.trains[last].Number {
			t.trains = append(t.trains, probe.Train{Number: p.Train})
			last++
		}
		if p.Train == t.trains[last].Number {
			t.trains[last].Add(now.Sub(t.began), p)
		}
	case wire.TypeSymbol:
		t.symbols++
		t.bytes += udp.PacketWireBytes(t.found.Session.Data.Addr(), len(b))
	}
}

func (t *trainListener) arrives() bool { return len(t.trains) > 0 || t.symbols > 0 }

// packetSize returns the payload of the session's packets, and the MTU that they fill.
func (t *trainListener) packetSize() (payload, mtu int) {
	payload = int(t.found.Session.SymbolSize) + wire.SymbolHeaderSize
	return payload, payload + udp.HeaderBytes(t.found.Session.Data.Addr())
}

// findings judges what has arrived on an interface.
func (t *trainListener) findings(i udp.Interface) (all []Finding) {
	k := checker{func(f Finding) { all = append(all, f) }, "ClientConfig"}
	data := t.found.Session.Data
	if !t.arrives() {
		k.wrong("group", fmt.Sprintf("a firewall here (UDP port %d, %s), a switch that snoops without a querier, or not the server's VLAN; until then ServerConfig.Unicast always", data.Port(), udp.MembershipProtocol(data.Addr())),
			"%s does not arrive on %s, although the server answers", data, i.Name)
		return all
	}
	k.ok("group", "%s arrives on %s", data, i.Name)
	if t.others > 0 {
		k.note("group", "give each server a ServerConfig.DataGroup of its own", "%d packets in it are of another session", t.others)
	}
	t.judgeTrains(k, i)
	if t.symbols > 0 {
		k.ok("stream", "it is running, at %s", rateText(8*float64(t.bytes)/t.took.Seconds()))
	}
	return all
}

func (t *trainListener) judgeTrains(k checker, i udp.Interface) {
	payload, mtu := t.packetSize()
	j := probe.Judge(t.trains, payload, udp.PacketWireBytes(t.found.Session.Data.Addr(), payload))
	if !j.Full && t.symbols == 0 {
		k.wrong("MTU", fmt.Sprintf("start the server without ServerConfig.MTU, or raise the MTU of the path: %s has %d", i.Name, i.MTU),
			"packets of %d bytes do not arrive, while small ones do", mtu)
		return
	}
	k.ok("MTU", "packets of %d bytes arrive", mtu)
	if j.Sent == 0 {
		return
	}
	if lost := max(0, j.Sent-j.Received); lost > 0 {
		advice := "it is repaired, at the price of time: look at the cable, the duplex, and the switch's counters"
		if t.drops > 0 {
			advice = "this host dropped some itself: see the buffer"
		}
		k.note("loss", advice, "%d of %d packets lost (%.1f%%)", lost, j.Sent, 100*float64(lost)/float64(j.Sent))
	} else {
		k.ok("loss", "none of %d packets lost", j.Sent)
	}
	const gigabit = 900_000_000 // with room for late packets
	switch {
	case j.Bursts == 0:
	case j.BitsPerSec >= gigabit:
		k.ok("rate", "at least 1 Gbit/s")
	default:
		k.ok("rate", "about %s", rateText(j.BitsPerSec))
	}
}
