package session

import (
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/probe"
	"multiserver/internal/rate"
	"multiserver/internal/routes"
	"multiserver/internal/startgate"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// rateInterval is how often the rate is judged.
const rateInterval = 100 * time.Millisecond

// pace decides when the stream begins and how fast it is.
type pace struct {
	queue  *transmit.Queue
	gate   startgate.Gate
	prober *probe.Sender
	rate   rate.Finder

	closed     bool // the streams have not begun
	judged     time.Time
	packetSize int     // bytes of a full packet
	packetBits float64 // of a full packet on the wire
	blockBits  float64 // of a block on the wire
}

func newPace(cfg *Config, id wire.SessionID, symbolSize uint16, g block.Geometry) *pace {
	packetSize := wire.SymbolHeaderSize + int(symbolSize)
	packetBits := float64(8 * udp.PacketWireBytes(cfg.Group, packetSize))
	symbols := float64(codec.HeaderSize+int(g.BlockSize)) / float64(symbolSize)
	return &pace{
		queue: cfg.Queue,
		gate:  cfg.Gate,
		prober: probe.NewSender(probe.SenderConfig{
			Session: id, PacketSize: packetSize, PacketBits: packetBits,
			Paced: cfg.Queue.Paced(), Off: cfg.Unicast == routes.Always,
		}),
		closed:     true,
		packetSize: packetSize, packetBits: packetBits, blockBits: symbols * packetBits,
	}
}

// openGate opens the streams once they may begin, and reports whether a train has to be sent.
func (p *pace) openGate(now time.Duration, r probe.Receivers) (train bool) {
	if !p.gate.Open(now, r.Knows) {
		return false
	}
	switch p.prober.Poll(now, r) {
	case probe.SendTrain:
		return true
	case probe.BeginStream:
		p.closed = false
		if initial := p.prober.InitialRate(); initial > 0 {
			p.rate.Suppose(now, initial)
			p.queue.SetLimit(p.rate.Limit())
		}
	}
	return false
}

// due reports, once each rateInterval, how long ago it last did.
func (p *pace) due() (since time.Duration, due bool) {
	if since = time.Since(p.judged); since < rateInterval {
		return since, false
	}
	p.judged = time.Now()
	return since, true
}

// judge sets the limit from the receivers' reports. 0 packets a second: not known.
func (p *pace) judge(now time.Duration, packetsPerSec float64, knows func(wire.ReceiverID) bool) {
	if packetsPerSec <= 0 {
		return
	}
	bits := packetsPerSec * p.packetBits
	p.rate.Judge(now, bits, p.packetBits, p.blockBits, knows)
	p.queue.SetLimit(p.rate.Limit())
	p.queue.SetRate(bits, p.packetSize)
}

// binding returns the limit and its reason, if the limit slows the stream down.
func (p *pace) binding(packetsPerSec float64) (limit uint64, reason string) {
	if !p.rate.Binding(packetsPerSec * p.packetBits) {
		return 0, ""
	}
	return p.rate.Limit(), p.rate.Reason()
}
