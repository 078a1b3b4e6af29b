package fetch

import (
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// crowd hands the session blocks that nobody rebuilds, from first on, until three quarters of its
// slots are taken. It returns the next block.
func (p *peer) crowd(s *session, first block.ID) block.ID {
	p.t.Helper()
	for ; !s.engine.Crowded(); first++ {
		for _, packet := range p.symbols(wire.Image, first, p.plain(uint32(first))) {
			s.handlePacket(0, packet)
		}
	}
	return first
}

// TestResultsFirst: when hardly a slot is free, packets stay where they are until results have
// freed some, but no longer than a heartbeat may wait.
func TestResultsFirst(t *testing.T) {
	newCrowded := func() (*peer, *session, block.ID) {
		p := newPeer(t, 16)
		s := p.checked()
		return p, s, p.crowd(s, 0)
	}
	step := func(s *session) {
		t.Helper()
		if err := s.step(nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a result comes", func(t *testing.T) {
		p, s, next := newCrowded()
		for _, packet := range p.symbols(wire.Image, next, p.plain(uint32(next))) {
			s.streams.unicast <- packet
		}
		waiting := len(s.streams.unicast)
		s.intake.drained = s.now()
		before := s.blocks.counts.PacketsReceived
		s.events <- digestFailed{<-s.blocks.slots.toSolve}
		s.events <- digestFailed{<-s.blocks.slots.toSolve}
		step(s)
		if s.engine.Crowded() || len(s.streams.unicast) != 0 || s.blocks.counts.PacketsReceived != before+uint64(waiting) || s.blocks.counts.MemoryDrops > 0 {
			t.Errorf("%d packets wait, %+v", len(s.streams.unicast), s.blocks.counts)
		}
	})
	t.Run("no result comes", func(t *testing.T) {
		p, s, next := newCrowded()
		s.streams.unicast <- p.symbols(wire.Image, next, p.plain(uint32(next)))[0]
		s.intake.drained = s.now() + time.Hour // so that no time passes
		step(s)
		if len(s.streams.unicast) != 1 {
			t.Error("a packet was taken although hardly a slot is free")
		}
		s.intake.drained = s.now() - maxHeld
		step(s)
		if len(s.streams.unicast) != 0 {
			t.Error("a packet waits for too long")
		}
	})
	t.Run("no room to wait", func(t *testing.T) {
		p, s, next := newCrowded()
		packet := p.symbols(wire.Image, next, p.plain(uint32(next)))[0]
		for len(s.streams.unicast) <= cap(s.streams.unicast)/2 {
			s.streams.unicast <- packet
		}
		s.intake.drained = s.now() + time.Hour
		step(s)
		if len(s.streams.unicast) != 0 {
			t.Error("packets wait until there is no room for more")
		}
	})
	t.Run("reports go on", func(t *testing.T) {
		p, s, next := newCrowded()
		s.streams.unicast <- p.symbols(wire.Image, next, p.plain(uint32(next)))[0]
		s.intake.drained = time.Hour
		p.conn.SetReadDeadline(time.Now().Add(time.Minute))
		for buf := make([]byte, 4096); ; {
			s.origin = s.origin.Add(-time.Second) // a report is due
			step(s)
			n, _, err := p.conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				t.Fatal(err)
			}
			if kind, _, err := wire.Peek(buf[:n]); err == nil && kind == wire.TypeReport {
				break
			}
		}
		if len(s.streams.unicast) != 1 {
			t.Error("the packet was taken")
		}
	})
}

// TestIntake: packets wait since nothing was left waiting, whatever was received in between.
func TestIntake(t *testing.T) {
	const ms = time.Millisecond
	var i intake
	i.received(100*ms, false)
	i.received(130*ms, true)
	for _, c := range []struct {
		now     time.Duration
		crowded bool
		want    time.Duration
	}{
		{130 * ms, false, 0},
		{130 * ms, true, 20 * ms},
		{150 * ms, true, 0},
		{time.Hour, true, 0},
	} {
		if got := i.hold(c.now, c.crowded); got != c.want {
			t.Errorf("at %v, crowded: %v: %v, want %v", c.now, c.crowded, got, c.want)
		}
	}
}
