package session

import (
	"net/netip"
	"testing"
	"time"

	"multiserver/internal/congestion"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

var receiverAddr = netip.MustParseAddr("10.0.0.7")

// run lets the group's stream of a composer go out from a time to another, in virtual time,
// as fast as it may. told tells of each packet of the stream or control packet.
func (c *composer) run(t *testing.T, from, to time.Duration, told func(now time.Duration, bits float64, numbered bool)) {
	t.Helper()
	st := c.streams.group
	b := st.queue.Take()
	defer st.queue.Recycle(b)
	for now := from; now < to; {
		st.poll(now)
		filled, err := c.fill(now, b, st)
		if err != nil {
			t.Fatal(err)
		}
		if !filled {
			now += time.Millisecond
			continue
		}
		bits := float64(8 * b.WireBytes(c.group))
		st.control.composed(bits)
		st.control.sent(now, wire.Sequence(b.Sequence), bits, true)
		told(now, bits, b.Sequence > 0)
		if rate := st.control.decision.Rate; rate > 0 {
			now += time.Duration(bits / rate * float64(time.Second))
		}
	}
}

// TestBudget: a receiver that reports nothing, or that it received nothing, gets no more
// than 1.5 MB in the first second and 2 MB in any two seconds after it, whatever rate the
// probes have shown.
func TestBudget(t *testing.T) {
	for _, reports := range []bool{false, true} {
		c := newComposer(t, 24)
		st := c.streams.group
		st.control.join(0, 7, receiverAddr)
		st.control.of(7).Probed(0, 7, 0, 0)
		var at []time.Duration
		var bits []float64
		number := uint32(0)
		for from := time.Duration(0); from < 9*time.Second; from += 100 * time.Millisecond {
			c.run(t, from, from+100*time.Millisecond, func(now time.Duration, n float64, _ bool) {
				at, bits = append(at, now), append(bits, n)
			})
			if reports {
				number++
				r := wire.Report{Session: 5, Receiver: 7, Number: number}
				st.engine.HandleReport(from, r)
				st.control.report(from, receiverAddr, r)
			}
		}
		sent := func(from, to time.Duration) (sum float64) {
			for i := range at {
				if at[i] >= from && at[i] < to {
					sum += bits[i]
				}
			}
			return sum
		}
		burst := 44 * c.streams.rates.PacketBits
		first := sent(0, time.Second)
		if first < 8e6 || first > 12e6+burst {
			t.Errorf("reports %v: %.3g bits in the first second, want 12e6 at most, and nearly so many", reports, first)
		}
		for from := time.Second; from < 7*time.Second; from += 50 * time.Millisecond {
			if n := sent(from, from+2*time.Second); n > 16e6+burst {
				t.Errorf("reports %v: %.3g bits in 2 s from %v on", reports, n, from)
			}
		}
	}
}

// TestNobody: while no receiver has needed anything for 10 s, nothing goes out but control
// packets, and a packet of the stream each second, by which a receiver shows that it is
// there; with the next need it goes on at half the rate.
func TestNobody(t *testing.T) {
	c := newComposer(t, 60)
	st := c.streams.group
	rate := 0.0
	stream, other := 0, 0
	for from := time.Duration(0); from < 20*time.Second; from += 100 * time.Millisecond {
		// It says that it is there, and nothing else.
		r := wire.Report{Session: 5, Receiver: 7, Number: uint32(from/(100*time.Millisecond)) + 1}
		st.engine.HandleReport(from, r)
		st.control.report(from, receiverAddr, r)
		c.run(t, from, from+100*time.Millisecond, func(now time.Duration, _ float64, numbered bool) {
			switch {
			case now < 10*time.Second:
				rate = st.control.decision.Rate
			case now < 10*time.Second+pollInterval:
			case numbered:
				stream++
			default:
				other++
			}
		})
	}
	if stream < 9 || stream > 10 || other < 9 {
		t.Errorf("in 10 s with nobody there %d packets of the stream and %d others", stream, other)
	}
	if limit, reason := st.control.shown(0); limit != 0 || reason != (congestion.Reason{Cause: congestion.CauseIdle}).String() {
		t.Errorf("shown as %d, %q", limit, reason)
	}
	w := wire.Wanted{Session: 5, Receiver: 7, Generation: 2, Pages: 1}
	w.Ranges = w.Ranges.Append(wire.Range{Object: wire.Image, Count: 60})
	st.engine.HandleWanted(20*time.Second, w)
	c.streams.needs(20*time.Second, 7, receiverAddr)
	st.poll(20 * time.Second)
	if got := st.control.decision.Rate; got == 0 || got > max(rate/2, 500e3) {
		t.Errorf("it goes on at %.0f, want half of %.0f", got, rate)
	}
	if next := st.engine.Next(20 * time.Second); next.Kind == sender.Nothing {
		t.Error("there is nothing to send")
	}
}

// TestSlowestDestination: by unicast the slowest receiver's rate holds for all, but for one
// whose reports stay away: it gets no more than control packets.
func TestSlowestDestination(t *testing.T) {
	c := newControl(0, congestion.Config{PacketBits: 12304, BlockBits: 727 * 12304, PacketSize: 1472}, true)
	for id := wire.ReceiverID(1); id <= 2; id++ {
		c.add(0, id, receiverAddr, wire.UnicastSequence)
	}
	c.of(1).SetCeiling(2e6)
	c.poll(0)
	if c.decision.Rate != 2e6 {
		t.Errorf("the rate is %.0f, want the slower one's", c.decision.Rate)
	}
	// Both get packets; the first receiver reports nothing any more, the second all of them.
	sequence, number := wire.UnicastSequence, uint32(0)
	for now := time.Duration(0); now < 8*time.Second; now += 10 * time.Millisecond {
		sequence++
		c.composed(12304)
		c.sent(now, sequence, 12304, true)
		if now%(100*time.Millisecond) == 0 {
			number++
			c.report(now, receiverAddr, wire.Report{Receiver: 2, Number: number, Highest: sequence, Counts: wire.PacketCounts{Received: uint64(sequence - wire.UnicastSequence)}})
			c.report(0, receiverAddr, wire.Report{})
		}
		c.poll(now)
	}
	first, second := c.destinations[0], c.destinations[1]
	if !first.silent(8*time.Second) || second.silent(8*time.Second) {
		t.Errorf("silent: %v, %v", first.silent(8*time.Second), second.silent(8*time.Second))
	}
	if c.decision.Rate != second.decision.Rate || c.decision.Rate <= first.decision.Rate {
		t.Errorf("the rate is %.0f; of the two %.0f and %.0f", c.decision.Rate, first.decision.Rate, second.decision.Rate)
	}
}

// TestPace: where the own interface is the limit, or the server's rate that was set, the queue
// has no pace of its own; the stream keeps to the controller's rate even so.
func TestPace(t *testing.T) {
	c := newControl(0, congestion.Config{PacketBits: 12304, BlockBits: 727 * 12304, PacketSize: 1472}, false)
	for _, each := range []struct {
		name  string
		cause congestion.Cause
		own   uint64
		want  uint64
	}{
		{"a path", congestion.CauseQueue, 0, 80e6},
		{"a path slower than the set rate", congestion.CauseQueue, 100e6, 80e6},
		{"the set rate", congestion.CauseCeiling, 80e6, 0},
		{"the own interface", congestion.CauseOwn, 0, 0},
	} {
		c.decision = congestion.Decision{Rate: 80e6, Reason: congestion.Reason{Cause: each.cause}}
		if got := c.pace(each.own); got != each.want {
			t.Errorf("%s: a pace of %d, want %d", each.name, got, each.want)
		}
	}

	c.of(7).Join(0, 7, receiverAddr)
	sent := 0.0
	for now := time.Duration(0); now < 500*time.Millisecond; now += time.Millisecond {
		c.poll(now)
		for {
			burst := c.burst(now)
			if burst == 0 {
				break
			}
			c.composed(float64(burst) * 12304)
			sent += float64(burst) * 12304
		}
	}
	most := c.decision.Rate * (0.5 + creditTime.Seconds() + 0.01)
	if most += 12304 * float64(c.decision.Burst); sent > most || sent < most/2 {
		t.Errorf("%.3g bits in 0.5 s without a pace, want %.3g at most, and nearly so many", sent, most)
	}
}

// TestSlowStream: the limit of a stream of 0.5 Mbit/s is shown, and the report interval does not
// follow it. A stream that trickles shows none.
func TestSlowStream(t *testing.T) {
	c := newComposer(t, 24)
	st := c.streams.group
	before := st.engine.Interval()
	st.control.decision = congestion.Decision{Rate: 500e3, Reason: congestion.Reason{Cause: congestion.CauseQueue, Bits: 515e3}}
	st.sent = uint64(500e3 / st.control.cfg.PacketBits) // in a second
	st.measure(time.Second)
	if limit, reason := st.control.shown(st.bits); limit != 500e3 || reason == "" {
		t.Errorf("the limit is shown as %d, %q", limit, reason)
	}
	if now := st.engine.Interval(); now != before {
		t.Errorf("the report interval is %v, and was %v", now, before)
	}
	st.control.decision = congestion.Decision{Reason: congestion.Reason{Cause: congestion.CauseIdle}}
	st.sent++
	if st.measure(time.Second); st.bits != 0 {
		t.Errorf("a packet a second counts as a rate of %g", st.bits)
	}
}
