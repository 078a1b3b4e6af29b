package room

import (
	"math/rand/v2"
	"slices"
	"time"

	"multiserver/internal/simnet"
	"multiserver/internal/wire"
)

// packet is one on its way to its audience.
type packet struct {
	at      time.Duration // when it leaves the switch
	to      *audience
	symbol  wire.Symbol
	control *control // if it is no symbol
}

// audience is who a packet is sent to. It is replaced, never changed.
type audience struct {
	networks  uint64            // of the group's stream, a bit each
	receivers []wire.ReceiverID // if it is unicast; else nil
}

func (a *audience) unicast() bool { return a.receivers != nil }

func (a *audience) has(n *node) bool {
	if a.unicast() {
		return slices.Contains(a.receivers, n.id)
	}
	return a.networks>>n.spec.Path.Network&1 != 0
}

// control is what is not a symbol.
type control struct {
	zeros     wire.ZeroRun
	owed      wire.RepairAdv
	heartbeat wire.Heartbeat
	ack       wire.GoodbyeAck
	subblocks wire.SubblockDigests
	probe     wire.Probe
	kind      wire.Type
	session   wire.SessionID
	bytes     int
}

// parseControl keeps what a control packet says, as each receiver would read it.
func parseControl(b []byte) *control {
	b = slices.Clone(b)
	t, session, err := wire.Peek(b)
	c := &control{kind: t, session: session, bytes: len(b)}
	switch t {
	case wire.TypeRepairAdv:
		c.owed, err = wire.ParseRepairAdv(b)
	case wire.TypeHeartbeat:
		c.heartbeat, err = wire.ParseHeartbeat(b)
	case wire.TypeSubblockDigests:
		c.subblocks, err = wire.ParseSubblockDigests(b)
	case wire.TypeGoodbyeAck:
		c.ack, err = wire.ParseGoodbyeAck(b)
	case wire.TypeProbe:
		c.probe, err = wire.ParseProbe(b)
	}
	if err != nil {
		panic(err)
	}
	return c
}

// fullBytes are those of a symbol's packet.
const fullBytes = wire.SymbolHeaderSize + symbolSize

// bytes is the size of a packet.
func (p *packet) bytes() int {
	if p.control != nil {
		return p.control.bytes
	}
	return fullBytes
}

// message is one on its way to the sender.
type message struct {
	packet []byte
	from   origin // of packet
	offer  *node
}

// ether is the sender's wire, and what is on its way from there.
type ether struct {
	rand       *rand.Rand
	common     simnet.Loss
	packetTime time.Duration
	free       time.Duration // when the wire is

	air      []packet
	base     uint64        // number of air[0]
	sequence wire.Sequence // the group's highest in the air
	controls uint64        // number behind the last packet in the air that is no symbol
	unread   int           // nodes that have not taken all that is in the air
}

func newEther(cfg Config) ether {
	return ether{
		rand:       rand.New(rand.NewPCG(cfg.Seed, 1)),
		common:     simnet.NewLoss(cfg.CommonLoss, 1, rand.New(rand.NewPCG(cfg.Seed, 2))),
		packetTime: cfg.PacketTime,
	}
}

// put sends p, and tells how many bytes of the wire it takes.
func (e *ether) put(t time.Duration, p packet) (wireBytes int) {
	each := p.bytes() + wireOverhead
	d := e.packetTime * time.Duration(each) / (fullBytes + wireOverhead)
	copies := max(1, len(p.to.receivers))
	e.free = max(e.free, t) + time.Duration(copies)*d
	p.at = e.free + time.Duration(e.rand.Int64N(int64(jitter)))
	switch {
	case p.control != nil:
		e.controls = e.end() + 1
	case p.to.unicast():
		e.controls = e.end() + 1 // whoever takes it has no patience
	default:
		e.sequence = p.symbol.Sequence
	}
	if e.common.Lost(e.end()) {
		p = packet{at: p.at, to: p.to, control: &control{bytes: p.bytes()}}
		e.controls = e.end() + 1
	}
	e.air = append(e.air, p)
	e.unread = 1
	return copies * each
}

// end is the number of the next packet.
func (e *ether) end() uint64 { return e.base + uint64(len(e.air)) }

// sweep drops packets that every node has taken.
func (e *ether) sweep(nodes []*node) {
	end := e.end()
	least := end
	e.unread = 0
	for _, n := range nodes {
		if n.deaf() {
			n.pos = end
			continue
		}
		if n.pos < end {
			e.unread++
		}
		least = min(least, n.pos)
	}
	if drop := int(least - e.base); drop > 4096 || drop == len(e.air) {
		e.air = append(e.air[:0], e.air[drop:]...)
		e.base = least
	}
}

// drop drops all packets.
func (e *ether) drop() { e.air, e.base = e.air[:0], e.end() }
