package session

import (
	"time"

	"multiserver/internal/probe"
	"multiserver/internal/routes"
	"multiserver/internal/startgate"
	"multiserver/internal/wire"
)

// rateInterval is how often the rate is measured.
const rateInterval = 100 * time.Millisecond

// pace puts together what decides when the stream begins.
type pace struct {
	gate   startgate.Gate
	prober *probe.Sender

	closed   bool // the streams are held back
	measured time.Time
}

func newPace(cfg *Config, id wire.SessionID, packetSize int, packetBits float64, paced bool) *pace {
	return &pace{
		gate: cfg.Gate,
		prober: probe.NewSender(probe.SenderConfig{
			Session: id, PacketSize: packetSize, PacketBits: packetBits,
			Paced: paced, Off: cfg.Unicast == routes.Always,
		}),
		closed: true,
	}
}

// openGate opens the streams once they may begin, and reports whether a train has to be sent.
// refused is how many have come, and refused.
func (p *pace) openGate(now time.Duration, r probe.Receivers, refused int) (train bool) {
	if !p.gate.Open(now, r.Knows, refused) {
		return false
	}
	switch p.prober.Poll(now, r) {
	case probe.SendTrain:
		return true
	case probe.BeginStream:
		p.closed = false
	}
	return false
}

// due reports, once each rateInterval, how long ago it last did.
func (p *pace) due() (since time.Duration, due bool) {
	if since = time.Since(p.measured); since < rateInterval {
		return since, false
	}
	p.measured = time.Now()
	return since, true
}
