package congestion

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"multiserver/internal/wire"
)

// TestPaths: on paths that nobody tuned the stream sends about what they carry, and little
// more than arrives. The budget is asserted in each.
func TestPaths(t *testing.T) {
	for _, queue := range []time.Duration{2 * time.Millisecond, 50 * time.Millisecond, time.Second, 10 * time.Second} {
		for _, mbit := range []float64{5, 50} {
			for _, receivers := range []int{1, 4} {
				for _, loss := range []float64{0, 0.01, 0.05, 0.15, 0.30} {
					t.Run(fmt.Sprintf("%v, %g Mbit/s, %d receivers, %g", queue, mbit, receivers, loss), func(t *testing.T) {
						m := model{rate: constant(mbit * 1e6), queue: queue, packets: 8, receivers: receivers, loss: loss}
						m.run(t, 3*time.Second)
						sent, got := m.bits, m.all[0].received
						m.run(t, 12*time.Second)
						share := (m.bits - sent) / (mbit * 1e6 * 12)
						over := (m.bits - sent) * (1 - loss) / (float64(m.all[0].received-got) * packetBits)
						least := 0.90
						if loss > 0.05 {
							least = 0.85 // it takes a while to be proven
						}
						if share < least || over > 1.10 {
							t.Errorf("%.3f of what the path carries, %.3f sent ÷ received", share, over)
						}
						if wait := m.all[0].path.MedianWait(); wait > 20*time.Millisecond {
							t.Errorf("a queue of %v", wait)
						}
					})
				}
			}
		}
	}
}

// TestGigabit: without a bottleneck the own interface's rate is reached in half a second,
// and not left again.
func TestGigabit(t *testing.T) {
	m := model{own: 1e9, receivers: 4}
	m.run(t, 500*time.Millisecond)
	for range 4 {
		sent := m.bits
		m.run(t, time.Second)
		if rate := m.bits - sent; rate < 0.97e9 {
			t.Errorf("%.3g bits/s at %v: %v", rate, m.now, m.engine.reason)
		}
	}
	if d := m.engine.Poll(m.now); d.Reason.Cause != CauseOwn {
		t.Error(d.Reason)
	}
}

// TestChanges: a path that becomes slower or faster in mid-stream is followed.
func TestChanges(t *testing.T) {
	for _, after := range []float64{10e6, 80e6} {
		m := model{queue: time.Second, packets: 8, receivers: 2, rate: func(at time.Duration) float64 {
			if at < 5*time.Second {
				return 40e6
			}
			return after
		}}
		m.run(t, 9*time.Second)
		sent := m.bits
		m.run(t, 5*time.Second)
		if share := (m.bits - sent) / (5 * after); share < 0.9 || share > 1.05 {
			t.Errorf("to %g Mbit/s: %.3f of it 4 s later, %v", after/1e6, share, m.engine.reason)
		}
	}
}

// TestDetour: a way that becomes longer is no queue.
func TestDetour(t *testing.T) {
	m := model{rate: constant(40e6), queue: time.Second, packets: 8, receivers: 2, detour: 4 * time.Second}
	m.run(t, 10*time.Second)
	sent := m.bits
	m.run(t, 5*time.Second)
	if share := (m.bits - sent) / (5 * 40e6); share < 0.93 {
		t.Errorf("%.3f of what the path carries: %v", share, m.engine.reason)
	}
}

// TestAllocatesNothing: what is done for each batch and each report.
func TestAllocatesNothing(t *testing.T) {
	m := model{rate: constant(40e6), queue: time.Second, packets: 8, receivers: 4}
	m.run(t, 3*time.Second)
	e, now, number := m.engine, m.now, uint32(1000)
	r := Report{Receiver: 1, Timed: true}
	if n := testing.AllocsPerRun(1000, func() {
		now += time.Millisecond
		m.seq += 10
		number++
		e.Sent(now, wire.Sequence(m.seq), 10*packetBits)
		r.Number, r.Newest, r.Arrived = number, wire.Sequence(m.seq), uint32((now + time.Hour).Microseconds())
		r.Counts.Received = m.seq
		e.HandleReport(now, m.all[0].addr, r)
		e.Poll(now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestMisleadingProbes: probes that show a gigabit on a path of 5 Mbit/s cost 2 MB.
func TestMisleadingProbes(t *testing.T) {
	m := model{rate: constant(5e6), queue: 10 * time.Second, packets: 8, receivers: 2, probe: 1e9}
	m.run(t, 2*time.Second)
	if m.bits > 16e6+2*5e6 {
		t.Errorf("%.3g bits sent in 2 s", m.bits)
	}
}

// TestLateReports: when the reports of all stay away the rate halves and halves again; the
// silence of one of four changes nothing.
func TestLateReports(t *testing.T) {
	for _, test := range []struct {
		silent, of int
		falls      bool
	}{{4, 4, true}, {2, 4, true}, {1, 4, false}, {1, 2, false}, {1, 1, true}} {
		m := model{rate: constant(50e6), queue: 50 * time.Millisecond, packets: 8, receivers: test.of, tweak: func(i int, r *modelReceiver) {
			if i < test.silent {
				r.dead = func(now time.Duration) bool { return now > 5*time.Second }
			}
		}}
		m.run(t, 4900*time.Millisecond)
		before := m.engine.rate
		m.run(t, 2300*time.Millisecond)
		if fell := m.engine.rate < 0.3*before; fell != test.falls {
			t.Errorf("%d of %d silent for 2 s: from %.3g to %.3g, %v", test.silent, test.of, before, m.engine.rate, m.engine.reason)
		}
	}
}

// TestIdle: nothing is sent once nobody has needed anything for 10 s, and the next need
// begins at half the rate.
func TestIdle(t *testing.T) {
	m := model{rate: constant(50e6), queue: 50 * time.Millisecond, packets: 8, receivers: 2}
	m.tweak = func(i int, r *modelReceiver) {
		r.alter = func(rep *Report) { rep.Needs = m.now < 3*time.Second }
	}
	m.idle = func(now time.Duration) bool { return now > 3*time.Second } // it has sent all
	m.run(t, 12*time.Second)
	if d := m.engine.Poll(m.now); d.Rate == 0 {
		t.Errorf("nothing is sent after %v", m.now)
	}
	m.run(t, 2*time.Second)
	last := m.engine.rate
	if d := m.engine.Poll(m.now); d.Rate != 0 || d.Reason.Cause != CauseIdle {
		t.Errorf("%.3g bits/s after 11 s without a need: %v", d.Rate, d.Reason)
	}
	m.engine.Needed(m.now)
	if d := m.engine.Poll(m.now); d.Rate < 0.49*last || d.Rate > 0.51*last {
		t.Errorf("%.3g bits/s at the next need, after %.3g", d.Rate, last)
	}
}

// TestOneVoteAnAddress: three receivers of one address that see a queue do not outvote one
// that does not; on loopback they do.
func TestOneVoteAnAddress(t *testing.T) {
	for _, loopback := range []bool{false, true} {
		m := model{rate: constant(100e6), queue: 50 * time.Millisecond, packets: 8, receivers: 4, tweak: func(i int, r *modelReceiver) {
			if r.path.Rate = constant(100e6); i > 0 {
				r.path.Rate = constant(10e6)
				r.addr = sameAddress(loopback)
			}
		}}
		m.run(t, 6*time.Second)
		// Alone, one that is fast is held back by the budget of two only.
		if slow := m.engine.rate < 12e6; slow != loopback {
			t.Errorf("loopback %v: %.3g bits/s, %v", loopback, m.engine.rate, m.engine.reason)
		}
	}
}

// TestFewAreSlow: a quarter that is ten times slower does not slow the others down.
func TestFewAreSlow(t *testing.T) {
	m := model{rate: constant(50e6), queue: 50 * time.Millisecond, packets: 8, receivers: 8, tweak: func(i int, r *modelReceiver) {
		if i < 2 {
			r.path.Rate = constant(5e6)
		}
	}}
	m.run(t, 8*time.Second)
	if m.engine.rate < 45e6 {
		t.Errorf("%.3g bits/s: %v", m.engine.rate, m.engine.reason)
	}
}

// TestTargets: disks slow the stream down only while the windows are nearly full, and
// not for longer than they are slow.
func TestTargets(t *testing.T) {
	const blockBits = 727 * packetBits
	m := model{own: 400e6, receivers: 4, tweak: func(i int, r *modelReceiver) {
		r.disk = func(now time.Duration) float64 {
			if now < 8*time.Second {
				return 100e6 / blockBits
			}
			return 1e9 / blockBits
		}
	}}
	m.run(t, 5*time.Second)
	sent := m.bits
	m.run(t, 3*time.Second)
	if rate := (m.bits - sent) / 3; rate < 80e6 || rate > 115e6 {
		t.Errorf("%.3g bits/s to disks of 100 Mbit/s", rate)
	}
	m.run(t, 4*time.Second)
	sent = m.bits
	m.run(t, time.Second)
	if rate := m.bits - sent; rate < 350e6 {
		t.Errorf("%.3g bits/s 4 s after the disks became fast: %v", rate, m.engine.Poll(m.now).Reason)
	}
}

// TestOlderReceivers: receivers that do not say when packets came are judged by loss.
func TestOlderReceivers(t *testing.T) {
	m := model{rate: constant(20e6), queue: 50 * time.Millisecond, packets: 8, receivers: 2, blind: true, tweak: func(i int, r *modelReceiver) { r.untimed = true }}
	m.run(t, 4*time.Second)
	sent, got := m.bits, m.all[0].received
	m.run(t, 8*time.Second)
	share := (m.bits - sent) / (20e6 * 8)
	if over := (m.bits - sent) / (float64(m.all[0].received-got) * packetBits); share < 0.85 || over > 1.15 {
		t.Errorf("%.3f of what the path carries, %.3f sent ÷ received", share, over)
	}
}

// TestFalseReports: what was not sent cannot have been received, and an older report is no
// news.
func TestFalseReports(t *testing.T) {
	e := New(0, Config{PacketBits: packetBits}, 0)
	e.Sent(0, 100, 100*packetBits)
	e.HandleReport(1, sameAddress(false), Report{Receiver: 1, Number: 5, Newest: 101})
	if p := e.byID[1]; p.reported {
		t.Error("a report of a packet that was not sent counts")
	}
	e.HandleReport(2, sameAddress(false), Report{Receiver: 1, Number: 5, Newest: 90})
	e.HandleReport(3, sameAddress(false), Report{Receiver: 1, Number: 4, Newest: 95})
	if p := e.byID[1]; p.last.newest != 90 {
		t.Errorf("newest %d after an older report", p.last.newest)
	}
}

// TestSampleChanges: of many receivers sixteen report in time, the one that loses most
// among them, and others after a while.
func TestSampleChanges(t *testing.T) {
	m := model{rate: constant(50e6), queue: 50 * time.Millisecond, packets: 8, receivers: 60, tweak: func(i int, r *modelReceiver) {
		if i == 37 {
			r.loss = 0.2
		}
	}}
	m.run(t, 3*time.Second)
	first, _ := m.engine.Sample(m.now, nil)
	m.run(t, 10*time.Second)
	later, _ := m.engine.Sample(m.now, nil)
	if len(first) != sampleSize || len(later) != sampleSize {
		t.Fatalf("samples of %d and %d", len(first), len(later))
	}
	same := 0
	worst := false
	for _, id := range later {
		for _, other := range first {
			if id == other {
				same++
			}
		}
		worst = worst || id == 38
	}
	if !worst || same > sampleSize-3 {
		t.Errorf("worst in it: %v; %d of %d as 10 s before", worst, same, sampleSize)
	}
	total := 0.0
	for _, p := range m.engine.members() {
		total += m.engine.weight(p)
	}
	if total < 59.9 || total > 60.1 {
		t.Errorf("the sample stands for %v of 60", total)
	}
}

// TestManyDied: however many died before, of one address or of many, the rate is found by
// those that are there.
func TestManyDied(t *testing.T) {
	for _, test := range []struct {
		address string
		addr    func(i int) netip.Addr
	}{
		{"one address", func(int) netip.Addr { return sameAddress(false) }},
		{"an address each", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }},
	} {
		const died = 60
		m := model{rate: constant(50e6), queue: 50 * time.Millisecond, packets: 8, receivers: died + 2, tweak: func(i int, r *modelReceiver) {
			r.addr = test.addr(i)
			switch {
			case i < died:
				r.dead = func(now time.Duration) bool {
					return now > time.Duration(i)*100*time.Millisecond+500*time.Millisecond
				}
			default:
				r.dead = func(now time.Duration) bool { return now < 6*time.Second }
			}
		}}
		m.run(t, 14*time.Second) // those that died last are late until 9.5 s
		if m.engine.rate < 40e6 {
			t.Errorf("%s: %.3g bits/s 8 s after two came, %v", test.address, m.engine.rate, m.engine.reason)
		}
	}
}

// TestStartedAgain: a client that is killed and started again, time after time, gets the
// stream at its rate, whether or not those that died are still known.
func TestStartedAgain(t *testing.T) {
	const life = 450 * time.Millisecond
	for _, known := range []bool{false, true} {
		m := model{rate: constant(50e6), queue: 50 * time.Millisecond, packets: 8, receivers: 40, tweak: func(i int, r *modelReceiver) {
			r.addr = sameAddress(false)
			r.dead = func(now time.Duration) bool { return now/life != time.Duration(i) }
		}}
		m.run(t, 3*time.Second)
		sent := m.bits
		for range 80 {
			m.run(t, 100*time.Millisecond)
			if left := int((m.now - 1500*time.Millisecond) / life); left > 0 && !known {
				m.engine.Leave(m.all[left-1].id)
			}
		}
		if share := (m.bits - sent) / (8 * 50e6); share < 0.75 {
			t.Errorf("known %v: %.3f of what the path carries: %v", known, share, m.engine.reason)
		}
	}
}

// TestBurst: bursts are as large as receivers need them, and as small as queues do.
func TestBurst(t *testing.T) {
	e := New(0, Config{PacketBits: packetBits, PacketSize: 1472}, 0)
	for _, test := range []struct {
		rate  float64
		burst int
	}{{1e6, 1}, {5e6, 1}, {50e6, 8}, {100e6, 16}, {1e9, 16}, {2.5e9, 30}, {10e9, 44}} {
		if n := e.burst(test.rate); n != test.burst {
			t.Errorf("%g Mbit/s: %d packets, want %d", test.rate/1e6, n, test.burst)
		}
	}
}

// TestReasons: each cause is said with its figure.
func TestReasons(t *testing.T) {
	for cause := CauseStart; cause <= CauseIdle; cause++ {
		if text := (Reason{Cause: cause, Bits: 5e6}).String(); text == "unknown" || text == "" {
			t.Errorf("cause %d: %q", cause, text)
		}
	}
	if text := (Reason{Cause: CauseQueue, Bits: 5e6, Delay: 34 * time.Millisecond}).String(); text != "the paths to the clients, which deliver 5 Mbit/s (a queue of 34 ms)" {
		t.Error(text)
	}
}
