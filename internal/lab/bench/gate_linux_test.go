package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestGate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := newGate(path)
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs root outside of user namespaces:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read := func() {
		t.Helper()
		b := make([]byte, 7)
		if _, err := f.ReadAt(b, 0); err != nil || string(b) != "content" {
			t.Errorf("read %q, %v", b, err)
		}
	}
	read()
	const stall = 200 * time.Millisecond
	start := time.Now()
	g.shut(stall)
	read()
	if took := time.Since(start); took < stall {
		t.Errorf("a read passed after %v", took)
	}

	g.shut(time.Hour)
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		read()
	}()
	if err := g.close(); err != nil {
		t.Error(err)
	}
	<-passed
}
