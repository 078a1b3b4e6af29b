package receiver

import (
	"testing"
	"time"

	"multiserver/internal/wire"
)

// believing is a receiver of an image of 200 blocks whose sender said that it is at a sequence.
func believing(at wire.Sequence, tells bool) *Engine {
	e := image(200, Config{Window: 8, SymbolSize: 1444}, 1)
	e.Restart(0, Session{ID: 2, ReportInterval: time.Second, Receivers: 1, Sequence: at, TellsSequence: tells})
	return e
}

// TestHeartbeatsOnlyBringNews: what completes an image, and what ends a session, is not believed of
// a heartbeat.
func TestHeartbeatsOnlyBringNews(t *testing.T) {
	for _, state := range []wire.SenderState{wire.SenderImageChanged, wire.SenderImageFailed, wire.SenderStopped} {
		e := believing(0, true)
		e.HandleHeartbeat(0, wire.Heartbeat{
			Receivers: 1, ReportInterval: time.Second, State: state, Completion: wire.Completion{ManifestSize: 100},
		})
		if _, _, ended := e.GaveUp(); ended || e.KnowsManifest() {
			t.Errorf("state %d: ended %v, manifest known %v", state, ended, e.KnowsManifest())
		}
		e.Learn(0, wire.Completion{ManifestSize: 100})
		e.End(0, state)
		if _, _, ended := e.GaveUp(); !ended || !e.KnowsManifest() {
			t.Errorf("state %d, as the sender says: ended %v, manifest known %v", state, ended, e.KnowsManifest())
		}
	}
	e := believing(0, true)
	e.HandleHeartbeat(0, wire.Heartbeat{Receivers: 1, ReportInterval: time.Second, Completion: wire.Completion{ManifestSize: 100}})
	e.Learn(0, wire.Completion{ManifestSize: 101})
	if o, _, ended := e.GaveUp(); !ended || o != wire.OutcomeIntegrity {
		t.Errorf("the sender has another manifest than heartbeats told of: ended %v, %d", ended, o)
	}
}

// TestJumpsAreAskedBack: a packet that no sender can have sent yet changes nothing but that the
// sender is asked; what it answers is believed.
func TestJumpsAreAskedBack(t *testing.T) {
	const at, far = 1000, 1 << 38
	packets := map[string]func(e *Engine, now time.Duration, q wire.Sequence){
		"symbol": func(e *Engine, now time.Duration, q wire.Sequence) {
			e.HandleSymbol(now, &wire.Symbol{Sequence: q, K: 9})
		},
		"zero run": func(e *Engine, now time.Duration, q wire.Sequence) {
			e.HandleZeroRun(now, &wire.ZeroRun{Sequence: q, First: 5, Count: 1}, nil)
		},
		"heartbeat": func(e *Engine, now time.Duration, q wire.Sequence) {
			e.HandleHeartbeat(now, wire.Heartbeat{Sequence: q, Receivers: 1, ReportInterval: time.Second})
		},
		"repair advertisement": func(e *Engine, now time.Duration, q wire.Sequence) {
			e.HandleRepairAdv(now, wire.RepairAdv{Sequence: q})
		},
	}
	for name, send := range packets {
		e := believing(at, true)
		e.HandleSymbol(0, &wire.Symbol{Sequence: at + 1, Block: 1, K: 9})
		if e.InDoubt() {
			t.Fatalf("%s: the stream itself is in doubt", name)
		}
		send(e, time.Second, far)
		if !e.InDoubt() || e.stream.seen() != at+1 {
			t.Errorf("%s: in doubt %v, at %d", name, e.InDoubt(), e.stream.seen())
		}
		e.SenderAt(time.Second, at+5)
		if e.InDoubt() {
			t.Errorf("%s: still in doubt after the answer", name)
		}
		// A receiver that was cut off for long: the sender is there indeed.
		send(e, time.Second, far)
		e.SenderAt(time.Second, far)
		send(e, time.Second, far+1)
		if e.InDoubt() || e.stream.seen() != far+1 {
			t.Errorf("%s: after the answer in doubt %v, at %d", name, e.InDoubt(), e.stream.seen())
		}
		old := believing(at, false) // an earlier sender cannot be asked
		send(old, 0, far)
		if old.InDoubt() || old.stream.seen() != far {
			t.Errorf("%s: of an earlier sender: in doubt %v, at %d", name, old.InDoubt(), old.stream.seen())
		}
	}
}

// TestSlowJumpsAreTakenBack: a false sequence that is near enough to be believed is forgotten once
// the sender says that it is not there.
func TestSlowJumpsAreTakenBack(t *testing.T) {
	const at, near = 1000, 1000 + maxJump
	beat := func(e *Engine, q wire.Sequence) {
		e.HandleHeartbeat(0, wire.Heartbeat{Sequence: q, Receivers: 1, ReportInterval: time.Second})
	}
	e := believing(at, true)
	for q := range wire.Sequence(5) {
		e.HandleSymbol(0, &wire.Symbol{Sequence: at + 1 + q, Block: 1, K: 9, Symbol: 0})
	}
	beat(e, near)
	if e.stream.seen() != near {
		t.Fatalf("at %d", e.stream.seen())
	}
	for n := range maxBehind {
		if e.InDoubt() {
			t.Fatalf("in doubt after %d heartbeats", n)
		}
		beat(e, at+10)
	}
	if !e.InDoubt() {
		t.Fatal("not in doubt, while the sender says that it is far behind")
	}
	e.SenderAt(0, at+10)
	if e.InDoubt() || e.stream.seen() != at+10 {
		t.Errorf("in doubt %v, at %d", e.InDoubt(), e.stream.seen())
	}
	if c := e.stream.counts(); c.Received != 5 || c.Lost > 5 {
		t.Errorf("the counts are %+v", c)
	}
}

// TestSwitchedStream: the other stream's first packet is believed until the sender has answered.
func TestSwitchedStream(t *testing.T) {
	e := believing(1000, true)
	e.SwitchStream(0)
	e.SenderAt(0, 1001) // of before
	e.HandleSymbol(0, &wire.Symbol{Sequence: wire.UnicastSequence + 700_000, K: 9})
	if !e.InDoubt() {
		t.Fatal("the first packet is not asked about")
	}
	e.SenderAt(0, 1002) // the sender does not serve it by unicast yet
	if !e.InDoubt() {
		t.Fatal("an answer of the other stream counts")
	}
	e.SenderAt(0, wire.UnicastSequence+3)
	if e.InDoubt() || e.stream.seen() != wire.UnicastSequence+3 {
		t.Errorf("in doubt %v, at %d", e.InDoubt(), e.stream.seen())
	}
}

// TestBoundedHeartbeat: a heartbeat cannot stretch the back-off of a receiver beyond bounds.
func TestBoundedHeartbeat(t *testing.T) {
	e := believing(0, true)
	e.HandleHeartbeat(0, wire.Heartbeat{Receivers: 1<<32 - 1, ReportInterval: time.Second, RoundTrip: time.Minute})
	if e.roundTrip > maxRoundTrip || e.session.Receivers > maxReceivers {
		t.Errorf("round trip %v, %d receivers", e.roundTrip, e.session.Receivers)
	}
}
