package reach

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"multiserver/internal/wire"
)

const tick = 10 * time.Millisecond

// happens is what arrives between two times, at each tick or once.
type happens struct {
	from, to time.Duration // to 0: once
	do       func(e *Engine, now time.Duration)
}

func packets(e *Engine, now time.Duration) { e.Symbol(now) }
func answers(e *Engine, now time.Duration) { e.Answered(now) }
func moves(e *Engine, now time.Duration)   { e.Moved(now) }
func elsewhere(e *Engine, _ time.Duration) { e.Elsewhere(true) }
func others(e *Engine, now time.Duration)  { e.Foreign() }

// String is the actions as words; the time comes before them.
func (a Actions) String() string {
	var words []string
	for _, w := range []struct {
		on   bool
		word string
	}{{a.AskSession, "ask"}, {a.Seek, "seek"}, {a.JoinAgain, "join"}, {a.Switch, "switch"}, {a.AskUnicast, "unicast"}, {a.EndUnicast, "multicast"}} {
		if w.on {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, "+")
}

// run lets an engine live for a while and tells what it did, without renewals of unicast.
func run(cfg Config, token bool, until time.Duration, script ...happens) (did []string, e *Engine) {
	e = New(cfg)
	for now := tick; now <= until; now += tick {
		for _, h := range script {
			if now == h.from || now > h.from && now <= h.to {
				h.do(e, now)
			}
		}
		a := e.Next(now, token, false)
		a.AskUnicast = a.AskUnicast && a.Switch
		if a != (Actions{}) {
			did = append(did, fmt.Sprintf("%.2f %v", now.Seconds(), a))
		}
	}
	return did, e
}

func TestEngine(t *testing.T) {
	const s = time.Second
	multicast := Config{Multicast: true}
	for _, c := range []struct {
		name    string
		cfg     Config
		noToken bool
		until   time.Duration
		script  []happens
		want    []string
		unicast bool // at the end
	}{
		{"the stream runs", multicast, false, 9 * s, []happens{{tick, 9 * s, packets}}, nil, false},
		{"nobody answers", multicast, false, 4 * s, nil,
			[]string{"1.00 join", "1.01 ask", "2.02 ask+seek", "3.00 join", "3.03 ask+seek"}, false},
		{"the group is blocked, the server answers", multicast, false, 3 * s,
			[]happens{{1100 * time.Millisecond, 0, answers}, {2100 * time.Millisecond, 0, answers}},
			[]string{"1.00 join", "1.01 ask", "2.01 switch+unicast", "2.02 ask"}, true},
		{"an answer just now gives the group time", multicast, false, 2500 * time.Millisecond,
			[]happens{{2000 * time.Millisecond, 0, answers}},
			[]string{"1.00 join", "1.01 ask", "2.02 ask", "2.31 switch+unicast"}, true},
		{"an answer before the silence is none", multicast, false, 3500 * time.Millisecond,
			[]happens{{tick, s, packets}, {s, 0, answers}},
			[]string{"2.00 join", "2.01 ask", "3.02 ask+seek"}, false},
		{"unicast is never wanted", Config{Unicast: Never, Multicast: true}, false, 2900 * time.Millisecond,
			[]happens{{1100 * time.Millisecond, 0, answers}},
			[]string{"1.00 join", "1.01 ask", "2.02 ask"}, false},
		{"the server does not serve by unicast", multicast, true, 2900 * time.Millisecond,
			[]happens{{1100 * time.Millisecond, 0, answers}},
			[]string{"1.00 join", "1.01 ask", "2.02 ask"}, false},
		{"unicast brings nothing either", multicast, false, 7500 * time.Millisecond,
			[]happens{{1100 * time.Millisecond, 0, answers}},
			[]string{"1.00 join", "1.01 ask", "2.01 switch+unicast", "2.02 ask", "3.03 ask", "4.04 ask+seek", "5.05 ask+seek", "6.06 ask+seek",
				"7.02 switch+multicast", "7.03 join", "7.07 ask+seek"}, false},
		{"always by unicast", Config{Unicast: Always, Multicast: true}, false, 7 * s, []happens{{tick, 7 * s, packets}}, nil, true},
		{"always by unicast, and nothing comes", Config{Unicast: Always, Multicast: true}, false, 6 * s, nil,
			[]string{"1.01 ask", "2.02 ask+seek", "3.03 ask+seek", "4.04 ask+seek", "5.05 ask+seek"}, true},
		{"no group", Config{}, false, 1005 * time.Millisecond, nil, nil, true},
		{"the next session is heard", multicast, false, 600 * time.Millisecond, []happens{{tick, 600 * time.Millisecond, others}},
			[]string{"0.26 ask", "0.52 ask"}, false},
		{"this client has another address, and is answered the third time", multicast, false, 9 * s,
			[]happens{{tick, 9 * s, packets}, {5 * s, 0, moves}, {5600 * time.Millisecond, 0, answers}},
			[]string{"5.00 ask", "5.26 ask", "5.52 ask"}, false},
		{"the stream comes from another address, and nobody answers", multicast, false, 4 * s,
			[]happens{{s, 0, elsewhere}, {tick, 9 * s, packets}},
			[]string{"2.00 ask", "2.26 ask+seek", "2.52 ask+seek", "2.78 ask+seek", "3.04 ask+seek", "3.30 ask+seek", "3.56 ask+seek", "3.82 ask+seek"}, false},
		{"after a while the stream comes from another address", multicast, false, 5600 * time.Millisecond,
			[]happens{{5 * s, 0, elsewhere}, {tick, 9 * s, packets}},
			[]string{"5.25 ask", "5.51 ask+seek"}, false},
		{"the stream comes from another address, and the server answers", multicast, false, 4500 * time.Millisecond,
			[]happens{{s, 0, elsewhere}, {tick, 9 * s, packets}, {2100 * time.Millisecond, 0, answers}, {3300 * time.Millisecond, 0, answers}},
			[]string{"2.00 ask", "3.11 ask", "4.31 ask"}, false},
		{"another session beside ours", multicast, false, s, []happens{{tick, s, others}, {tick, s, packets}}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, e := run(c.cfg, !c.noToken, c.until, c.script...)
			if !slices.Equal(got, c.want) {
				t.Errorf("it did %q\nwant   %q", got, c.want)
			}
			if e.ByUnicast() != c.unicast {
				t.Errorf("by unicast: %v", e.ByUnicast())
			}
		})
	}
}

// TestUnicastIsRenewed: it would lapse otherwise, and a client that leaves lets it.
func TestUnicastIsRenewed(t *testing.T) {
	e := New(Config{Unicast: Always})
	asked := 0
	for now := time.Duration(0); now < 2*time.Second; now += tick {
		leaving := now >= time.Second
		if e.Next(now, true, leaving).AskUnicast {
			if asked++; leaving {
				t.Error("asks for more while it leaves")
			}
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times in a second, want 4", asked)
	}
}

// TestSilence: each cause of a stream that stays away is told apart.
func TestSilence(t *testing.T) {
	const now, long = time.Minute, 8 * time.Second
	for _, c := range []struct {
		name     string
		unicast  Unicast
		manifest bool // is waited for
		change   func(*Engine)
		want     Silence
	}{
		{"all is well", Auto, false, func(e *Engine) {}, Silence{}},
		{"the server is gone", Auto, false, func(e *Engine) { e.lastPacket, e.streamed, e.answered = now-long, now-long, now-9*time.Second },
			Silence{Nothing, long, ServerGone}},
		{"the server never sent", Auto, false, func(e *Engine) { e.symbols, e.lastPacket, e.answered = false, now-long, now-9*time.Second },
			Silence{Nothing, long, ServerNeverSent}},
		{"the group is lost", Auto, false, func(e *Engine) { e.lastPacket, e.streamed = now-long, now-long }, Silence{Nothing, long, GroupLost}},
		{"the group was never heard", Auto, false, func(e *Engine) { e.lastPacket, e.streamed, e.symbols = now-long, now-long, false },
			Silence{Nothing, long, GroupBlocked}},
		{"unicast does not arrive", Always, false, func(e *Engine) { e.lastPacket, e.streamed = now-long, now-long }, Silence{Nothing, long, UnicastBlocked}},
		{"all is dropped at the socket", Auto, false, func(e *Engine) { e.lastPacket, e.streamed, e.dropped = now-long, now-long, now-time.Second },
			Silence{Nothing, long, SocketFull}},
		{"dropped long ago", Auto, false, func(e *Engine) { e.lastPacket, e.streamed, e.dropped = now-long, now-long, now-5*time.Second },
			Silence{Nothing, long, GroupLost}},
		{"the server's disk stalls", Auto, false, func(e *Engine) { e.streamed, e.state = now-long, wire.SenderStalled }, Silence{ServerStalled, long, 0}},
		{"the server waits for others", Auto, false, func(e *Engine) { e.streamed, e.state = now-long, wire.SenderWaiting }, Silence{ServerWaits, long, 0}},
		{"the server reads first", Auto, true, func(e *Engine) { e.streamed = now - long }, Silence{ReadingFirst, long, 0}},
		{"dropped at the socket, and damaged", Auto, false, func(e *Engine) {
			e.lastPacket, e.streamed, e.dropped, e.damaged = now-long, now-long, now-time.Second, now-time.Second
		}, Silence{Nothing, long, SocketFull}},
		{"all is damaged", Auto, false, func(e *Engine) { e.lastPacket, e.streamed, e.damaged = now-long, now-long, now-time.Second },
			Silence{Nothing, long, Damaged}},
		{"damaged long ago", Auto, false, func(e *Engine) { e.lastPacket, e.streamed, e.damaged = now-long, now-long, now-5*time.Second },
			Silence{Nothing, long, GroupLost}},
		{"no data for a while", Auto, false, func(e *Engine) { e.streamed = now - long }, Silence{}},
		{"no data for long", Auto, false, func(e *Engine) { e.streamed = now - 2*long }, Silence{Unserved, 2 * long, 0}},
		{"no data for long, and none is missed", Auto, false, func(e *Engine) { e.streamed = now - 2*long; e.Busy(now - time.Second) }, Silence{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := New(Config{Unicast: c.unicast, Multicast: true})
			e.Symbol(now)
			e.Answered(now)
			c.change(e)
			if got := e.Silence(now, c.manifest); got != c.want {
				t.Errorf("it is %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestUnserved: a server that lives, and says no reason why nothing comes, has a limit; one that
// waits or whose disk stalls has none.
func TestUnserved(t *testing.T) {
	for _, c := range []struct {
		name  string
		state wire.SenderState
		do    func(e *Engine, now time.Duration) // at each tick
		want  time.Duration                      // after a minute of heartbeats
	}{
		{"heartbeats alone", wire.SenderStreaming, func(*Engine, time.Duration) {}, time.Minute},
		{"symbols", wire.SenderStreaming, func(e *Engine, now time.Duration) { e.Symbol(now) }, 0},
		{"the client is busy", wire.SenderStreaming, func(e *Engine, now time.Duration) { e.Busy(now) }, 0},
		{"it waits for clients", wire.SenderWaiting, func(*Engine, time.Duration) {}, 0},
		{"its disk stalls", wire.SenderStalled, func(*Engine, time.Duration) {}, 0},
	} {
		e := New(Config{Multicast: true})
		var now time.Duration
		for now < time.Minute {
			now += tick
			e.Packet(now)
			e.State(c.state)
			c.do(e, now)
			e.Next(now, true, false)
		}
		if got := e.Unserved(now); got != c.want {
			t.Errorf("%s: unserved for %v, want %v", c.name, got, c.want)
		}
		if got := e.Unserved(now + 4*time.Second); got != 0 {
			t.Errorf("%s, and then nothing at all: unserved for %v", c.name, got)
		}
	}
}

// TestStopped: time in which the client did not run is no silence.
func TestStopped(t *testing.T) {
	e := New(Config{Multicast: true})
	e.Symbol(time.Second)
	e.Stopped(2*time.Minute, 2*time.Minute-1500*time.Millisecond)
	if got := e.Silence(2*time.Minute, false); got.Kind != None || e.Unserved(2*time.Minute) != 500*time.Millisecond {
		t.Errorf("it is %+v, unserved for %v", got, e.Unserved(2*time.Minute))
	}
	e.Stopped(3*time.Minute, 3*time.Minute)
	if e.lastPacket != 3*time.Minute {
		t.Errorf("it was heard at %v, which is still to come", e.lastPacket)
	}
}
