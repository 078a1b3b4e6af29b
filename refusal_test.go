package multiserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRefusalIsTold: a client that ends before it joins has told the server why, and the server's
// end does not pass over it.
func TestRefusalIsTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		refuse func(*room, *ClientConfig)
		want   error
		reason string
	}{
		{"no such folder", func(r *room, cfg *ClientConfig) { cfg.Output = filepath.Join(r.dir, "none", "out") }, ErrTargetRefused, "none/out is refused"},
		{"a folder", func(r *room, cfg *ClientConfig) { cfg.Output = r.dir }, ErrTargetRefused, "is refused"},
		{"no such device", func(_ *room, cfg *ClientConfig) { cfg.Output = "/dev/nosuchdisk" }, ErrNoDisk, "/dev/nosuchdisk is refused"},
		{"no disk matches", func(_ *room, cfg *ClientConfig) { cfg.Output, cfg.Disk = "", "serial=nosuchdisk" }, ErrNoDisk, "serial=nosuchdisk"},
		{"the server's own image", func(r *room, cfg *ClientConfig) { cfg.Output = r.image }, ErrTargetRefused, "the.img is refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, 100_000)
			serving := r.serverConfig()
			serving.ExitAfterDone, serving.MinReceivers = true, 2
			events := make(chan Receiver, 16) // no more happens
			serving.OnEvent = func(e ServerEvent) {
				if ended, ok := e.(ReceiverEnded); ok {
					events <- ended.Receiver
				}
			}
			s, ended := r.start(t.Context(), serving)
			cfg := r.clientConfig(filepath.Join(r.dir, "out"))
			c.refuse(r, &cfg)
			client, err := NewClient(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Run(t.Context()); !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			row := <-events
			if row.Outcome != OutcomeRefused || !strings.Contains(row.Reason, c.reason) || len(events) > 0 {
				t.Errorf("the server tells of %v: %s, and %d more; want %s", row.Outcome, row.Reason, len(events), c.reason)
			}
			if stats := s.Stats(); len(stats.Receivers) != 1 || !stats.Waiting {
				t.Errorf("%d rows, waiting: %v", len(stats.Receivers), stats.Waiting)
			}
			// The one that is missing comes, so that all are there.
			other, err := NewClient(r.clientConfig(filepath.Join(r.dir, "other")))
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, ErrReceiversFailed) || !strings.Contains(err.Error(), "1 of 2 clients") {
				t.Errorf("the server ends with %v", err)
			}
		})
	}
}

// TestAllRefuse: a room in which all have refused ends.
func TestAllRefuse(t *testing.T) {
	r := newRoom(t, 100_000)
	serving := r.serverConfig()
	serving.ExitAfterDone, serving.MinReceivers = true, 1
	_, ended := r.start(t.Context(), serving)
	client, err := NewClient(r.clientConfig(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Run(t.Context()); !errors.Is(err, ErrTargetRefused) {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrReceiversFailed) || !strings.Contains(err.Error(), "1 of 1 clients") {
		t.Errorf("the server ends with %v", err)
	}
}

// TestDiskComesLate: a client that tries again is waited for, also where it alone was awaited.
func TestDiskComesLate(t *testing.T) {
	r := newRoom(t, 100_000)
	serving := r.serverConfig()
	serving.ExitAfterDone, serving.MinReceivers = true, 1
	s, ended := r.start(t.Context(), serving)
	cfg := r.clientConfig("/dev/nosuchdisk")
	cfg.TriesAgain = func(err error) bool { return errors.Is(err, ErrNoDisk) }
	for range 2 {
		client, err := NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Run(t.Context()); !errors.Is(err, ErrNoDisk) {
			t.Fatal(err)
		}
		if rows := s.Stats().Receivers; len(rows) != 1 || rows[0].Outcome != OutcomeRefused {
			t.Fatalf("the server tells of %+v", rows)
		}
	}
	cfg.Output = filepath.Join(r.dir, "out")
	client, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ends with %v", err)
	}
	if got, err := os.ReadFile(cfg.Output); err != nil || string(got) != string(r.bytes) {
		t.Errorf("the file is not the image: %v", err)
	}
}

// TestRefusesAlone: without a server a client that refuses ends as it did, and soon.
func TestRefusesAlone(t *testing.T) {
	r := newRoom(t, 1)
	cfg := r.clientConfig(r.dir)
	cfg.ControlHost, cfg.StartTimeout = "127.0.0.1", NoTimeout
	client, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Run(t.Context()); !errors.Is(err, ErrTargetRefused) {
		t.Error(err)
	}
	r.silent.SetReadDeadline(time.Now().Add(time.Minute)) // it was asked before, and that waits here
	if n, err := r.silent.Read(make([]byte, 2048)); err != nil {
		t.Errorf("it asked for no server: %d bytes, %v", n, err)
	}
}
