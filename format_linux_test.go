package multiserver

import (
	"bytes"
	"compress/gzip"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"multiserver/internal/target/loopdev"
)

// pack puts a gzip file, with zeros behind it, in the place of the room's image.
func (r *room) pack() {
	r.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(r.bytes); err != nil {
		r.Fatal(err)
	}
	if err := z.Close(); err != nil {
		r.Fatal(err)
	}
	r.bytes = append(b.Bytes(), make([]byte, 512-b.Len()%512)...)
	if err := os.WriteFile(r.image, r.bytes, 0o600); err != nil {
		r.Fatal(err)
	}
}

// logs returns a logger and what it was told.
func logs() (*slog.Logger, *bytes.Buffer) {
	b := new(bytes.Buffer)
	return slog.New(slog.NewTextHandler(b, nil)), b
}

// TestPackedImage: a packed image is named on both sides and goes to a file; to a device only
// with Force. Over MXB 1 it is the first block that shows it.
func TestPackedImage(t *testing.T) {
	for _, onlyMXB1 := range []bool{false, true} {
		r := newRoom(t, 1<<20)
		r.pack()
		old := bytes.Repeat([]byte{0xFF}, 2<<20)
		device := loopdev.New(t, old, 0)
		server := r.serverConfig()
		var told *bytes.Buffer
		server.Log, told = logs()
		_, stop := r.serve(server)

		cfg := r.clientConfig(device)
		if onlyMXB1 {
			cfg.MXB1 = MXB1Only
		}
		stats, err := receiveWith(t.Context(), cfg)
		if stats.PacketsReceived > 0 && !onlyMXB1 {
			t.Errorf("%d packets were received before the device was refused", stats.PacketsReceived)
		}
		if !errors.Is(err, ErrTargetRefused) || !strings.Contains(err.Error(), "the image is a gzip file, from which no machine starts as it is: unpack it with gunzip") {
			t.Errorf("MXB 1 %v: the client ended: %v", onlyMXB1, err)
		}
		if got, err := os.ReadFile(device); err != nil || !bytes.Equal(got[:512], old[:512]) || !onlyMXB1 && !bytes.Equal(got, old) {
			t.Errorf("MXB 1 %v: %v, or the device was written to", onlyMXB1, err)
		}
		if c, err := NewClient(cfg); err != nil {
			t.Error(err)
		} else if _, err := c.Plan(t.Context()); !onlyMXB1 && !errors.Is(err, ErrTargetRefused) {
			t.Errorf("Plan: %v", err)
		}
		forced := cfg
		forced.Force = true
		if _, err := receiveWith(t.Context(), forced); err != nil {
			t.Fatalf("MXB 1 %v: with Force: %v", onlyMXB1, err)
		}
		if got, err := os.ReadFile(device); err != nil || !bytes.Equal(got[:len(r.bytes)], r.bytes) {
			t.Errorf("MXB 1 %v: with Force: %v, or other bytes", onlyMXB1, err)
		}
		file := cfg
		file.Output = filepath.Join(r.dir, "copy.gz")
		var fileLog *bytes.Buffer
		file.Log, fileLog = logs()
		if _, err := receiveWith(t.Context(), file); err != nil {
			t.Fatalf("MXB 1 %v: to a file: %v", onlyMXB1, err)
		}
		r.same(file.Output)
		if !onlyMXB1 && !strings.Contains(fileLog.String(), "receiving the.img, a gzip file, from ") {
			t.Errorf("the client says\n%s", fileLog)
		}
		stop()
		if !strings.Contains(told.String(), "the.img is a gzip file and is sent as it is") || !strings.Contains(told.String(), "gunzip") {
			t.Errorf("the server says\n%s", told)
		}
	}
}

// TestOddSize: a size that no disk has is a warning on both sides, and no more.
func TestOddSize(t *testing.T) {
	const want = "the.img has 1048577 bytes, no multiple of 512 as a disk has"
	r := newRoom(t, 1<<20+1)
	server := r.serverConfig()
	var told *bytes.Buffer
	server.Log, told = logs()
	_, stop := r.serve(server)
	cfg := r.clientConfig(loopdev.New(t, make([]byte, 2<<20), 0))
	var clientLog *bytes.Buffer
	cfg.Log, clientLog = logs()
	if _, err := receiveWith(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	stop()
	for side, text := range map[string]string{"server": told.String(), "client": clientLog.String()} {
		if !strings.Contains(text, "level=WARN") || !strings.Contains(text, want) {
			t.Errorf("the %s says\n%s", side, text)
		}
	}
}

// TestCheckNamesFormat: CheckServer says what it would serve.
func TestCheckNamesFormat(t *testing.T) {
	r := newRoom(t, 1<<20)
	r.pack()
	found := false
	if err := CheckServer(t.Context(), r.serverConfig(), func(f Finding) {
		found = found || f.Level == FindingNote && f.What == "file" && strings.Contains(f.Text, "the.img is a gzip file") && f.Advice == "unpack it with gunzip"
	}); err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Error("no note names the format")
	}
}
