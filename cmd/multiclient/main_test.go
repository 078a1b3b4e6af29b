package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"multiserver"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){program: func() { os.Exit(execute()) }})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Condition: func(name string) (bool, error) {
			if name != "terminals" {
				return false, fmt.Errorf("no condition %q", name)
			}
			_, err := os.Stat("/dev/ptmx")
			return err == nil, nil
		},
	})
}

func TestInterrupted(t *testing.T) {
	for _, c := range []struct {
		stats multiserver.ClientStats
		want  string
	}{
		{multiserver.ClientStats{Output: "/dev/sda"}, "interrupt before a server was found; nothing was written"},
		{multiserver.ClientStats{Phase: multiserver.PhaseReceiving, Output: "/dev/sda", SizeBytes: 10, BytesDone: 3},
			"interrupt with 3 of 10 bytes in; /dev/sda is incomplete"},
	} {
		if got := interrupted(syscall.SIGINT, c.stats).Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
