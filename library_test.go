package multiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// orderTarget records the order of calls.
type orderTarget struct {
	content []byte
	wrote   int // since the last Sync
	synced  int
}

func (o *orderTarget) WriteAt(p []byte, off int64) (int, error) {
	o.wrote++
	return copy(o.content[off:], p), nil
}

func (o *orderTarget) ReadAt(p []byte, off int64) (int, error) { return copy(p, o.content[off:]), nil }

func (o *orderTarget) Sync() error {
	o.wrote, o.synced = 0, o.synced+1
	return nil
}

// TestSourceIntoTarget: an image goes from a Source into a Target, and both sides tell what
// happens.
func TestSourceIntoTarget(t *testing.T) {
	r := newRoom(t, 3<<20+7)
	server := r.serverConfig()
	server.File, server.Source, server.Name = "", bytes.NewReader(r.bytes), "memory.img"
	var events []ServerEvent
	server.OnEvent = func(e ServerEvent) { events = append(events, e) }
	_, stop := r.serve(server)

	target := &orderTarget{content: make([]byte, len(r.bytes))}
	cfg := r.clientConfig("")
	cfg.Target, cfg.Verify = target, true
	var phases []ClientPhase
	cfg.OnPhase = func(s ClientStats) { phases = append(phases, s.Phase) }
	stats, err := receiveWith(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop() // no event comes any more
	if !bytes.Equal(target.content, r.bytes) {
		t.Error("the target differs from the image")
	}
	if target.synced == 0 || target.wrote > 0 {
		t.Errorf("synced %d times, and %d writes came after the last", target.synced, target.wrote)
	}
	if !stats.Verified || stats.Name != "memory.img" {
		t.Errorf("stats: %+v", stats)
	}
	if want := []ClientPhase{PhaseReceiving, PhaseSyncing, PhaseVerifying, PhaseDone}; !slices.Equal(phases, want) {
		t.Errorf("phases %v, want %v", phases, want)
	}
	var joined, ended int
	for _, e := range events {
		switch e := e.(type) {
		case ReceiverJoined:
			joined++
		case ReceiverEnded:
			ended++
			if e.Receiver.Outcome != OutcomeDone || joined == 0 {
				t.Errorf("after %d that joined, one ended: %+v", joined, e.Receiver)
			}
		}
	}
	if joined != 1 || ended != 1 {
		t.Errorf("%d joined and %d ended: %v", joined, ended, events)
	}
}

// changing is a Source that says that it changed.
type changing struct{ *bytes.Reader }

func (changing) Changed() error { return errors.New("somebody wrote to it") }

func TestSourceChanges(t *testing.T) {
	r := newRoom(t, 1)
	cfg := r.serverConfig()
	cfg.File, cfg.Source, cfg.Name = "", changing{bytes.NewReader(r.bytes)}, "x"
	_, done := r.start(t.Context(), cfg)
	var e *Error
	if err := <-done; !errors.As(err, &e) || !strings.Contains(err.Error(), "somebody wrote to it") {
		t.Errorf("a source that changed: %v", err)
	}
}

// TestAddrEnds: who waits for an address gets the context's error if there will be none.
func TestAddrEnds(t *testing.T) {
	s, err := NewServer(ServerConfig{File: "x"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Addr(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

// TestNoDisk: the refusal carries the disks that there are, and the field.
func TestNoDisk(t *testing.T) {
	r := newRoom(t, 1)
	cfg := r.clientConfig("")
	cfg.Disk = "serial=nobody has this"
	_, err := receiveWith(t.Context(), cfg)
	var e *Error
	if !errors.As(err, &e) || e.Kind != ErrNoDisk || !errors.Is(err, ErrTargetRefused) {
		t.Fatalf("%v is not of kind ErrNoDisk", err)
	}
	for _, disk := range e.Disks {
		if strings.ContainsAny(disk, "\n") || disk == "" {
			t.Errorf("no line: %q", disk)
		}
	}
}

// TestStatsAsJSON: the names stand for ever.
func TestStatsAsJSON(t *testing.T) {
	for object, want := range map[any]string{
		Receiver{Name: "pc-07", Outcome: OutcomeDone}: `"name":"pc-07"`,
		Receiver{Outcome: OutcomeLost}:                `"outcome":"lost"`,
		ServedClient{AskedBytes: 7}:                   `"asked_bytes":7`,
		ClientStats{Phase: PhaseSyncing}:              `"phase":"syncing"`,
	} {
		if b, err := json.Marshal(object); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s, %v; want %s in it", b, err, want)
		}
	}
	b, err := json.Marshal(ServerStats{Interfaces: []string{"eth0", "eth1"}})
	if err != nil || !strings.Contains(string(b), `"interfaces":["eth0","eth1"]`) || strings.Contains(string(b), "Bytes") {
		t.Errorf("%s, %v", b, err)
	}
}
