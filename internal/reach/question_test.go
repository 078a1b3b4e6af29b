package reach

import (
	"math/rand/v2"
	"testing"
	"time"

	"multiserver/internal/wire"
)

// asks has an engine go on for a time, in steps of a millisecond, and counts its questions. It
// stops when the session counts as over.
func asks(e *Engine, from, until time.Duration) (questions int, over wire.SenderState) {
	for now := from; now < until; now += time.Millisecond {
		e.Packet(now) // the stream itself is well
		a := e.Next(now, true, false)
		if a.AskSession {
			questions++
		}
		if a.Over != 0 {
			return questions, a.Over
		}
	}
	return questions, 0
}

func newAsking() *Engine {
	return New(Config{Multicast: true, Rand: rand.New(rand.NewPCG(1, 2))})
}

// TestEndIsAskedBack: a session that a heartbeat calls over goes on while the server answers, and
// is over when the server says so or does not answer.
func TestEndIsAskedBack(t *testing.T) {
	e := newAsking()
	e.Ended(0, wire.SenderStopped, 2)
	questions, over := asks(e, 0, 10*time.Second)
	if over != wire.SenderStopped || questions != endTries {
		t.Errorf("a server that does not answer was asked %d times, and is in state %d", questions, over)
	}

	e = newAsking()
	for now := time.Duration(0); now < 20*time.Second; now += time.Millisecond {
		e.Packet(now)
		e.Ended(now, wire.SenderImageChanged, 2) // again and again
		a := e.Next(now, true, false)
		if a.Over != 0 {
			t.Fatalf("over after %v, while the server answers", now)
		}
		if a.AskSession {
			questions++
			if state := e.Told(now, wire.SenderStreaming, true, true); state != 0 {
				t.Fatalf("a server that streams is in state %d", state)
			}
		}
	}

	e = newAsking()
	e.Ended(0, wire.SenderStopped, 2)
	if state := e.Told(0, wire.SenderImageChanged, true, true); state != wire.SenderImageChanged {
		t.Errorf("the server says that it is in state %d", state)
	}

	// An answer may have been on its way when the session ended.
	e = newAsking()
	e.Ended(0, wire.SenderStopped, 2)
	e.Told(0, wire.SenderStreaming, true, true)
	if _, over := asks(e, 0, 10*time.Second); over != wire.SenderStopped {
		t.Errorf("after an answer of before it is in state %d", over)
	}
}

// TestQuestionsAreFew: whatever comes with the stream, the server is asked once a second at most,
// and not by all clients at once; an answer ends that.
func TestQuestionsAreFew(t *testing.T) {
	e := newAsking()
	questions := 0
	for now := time.Duration(0); now < 10*time.Second; now += time.Millisecond {
		e.Packet(now)
		e.News(now, 2)
		e.Doubt(now, 2)
		if e.Next(now, true, false).AskSession {
			questions++
		}
	}
	if questions == 0 || questions > 14 {
		t.Errorf("%d questions in 10 s", questions)
	}
	if e.Told(10*time.Second, wire.SenderStreaming, true, false); !e.Asking() {
		t.Error("the answer told no sequence, and nothing more is asked")
	}
	if e.Told(10*time.Second, wire.SenderStreaming, true, true); e.Asking() {
		t.Error("all is answered, and it still asks")
	}

	first := map[time.Duration]bool{}
	for seed := range uint64(20) {
		e := New(Config{Multicast: true, Rand: rand.New(rand.NewPCG(seed, 2))})
		e.News(0, 5000)
		for now := time.Duration(0); ; now += time.Millisecond {
			e.Packet(now)
			if e.Next(now, true, false).AskSession {
				first[now] = true
				break
			}
		}
	}
	if len(first) < 15 {
		t.Errorf("20 of 5000 clients ask at %d moments", len(first))
	}
}
