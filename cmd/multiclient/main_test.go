package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"multiserver"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){program: func() {
		firstPause = 10 * time.Millisecond
		if p, err := time.ParseDuration(os.Getenv(pauseVariable)); err == nil {
			firstPause = p
		}
		if os.Getenv(kernelVariable) == "" { // this machine's is no part of a test
			os.Setenv(kernelVariable, os.DevNull)
		}
		os.Exit(execute())
	}})
}

const (
	kernelVariable = "MULTICLIENT_KERNEL_CMDLINE"
	// pauseVariable is of these tests' program only: the first pause of --retry.
	pauseVariable = "TEST_FIRST_PAUSE"
)

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			// Two ports that are taken, so that nobody else answers there: one to ask at, and
			// one whose number no other group is received by.
			for _, name := range []string{"SILENT", "PORT"} {
				c, err := net.ListenPacket("udp4", "127.0.0.1:0")
				if err != nil {
					return err
				}
				e.Defer(func() { c.Close() })
				e.Setenv(name, c.LocalAddr().String())
			}
			_, port, err := net.SplitHostPort(e.Getenv("PORT"))
			e.Setenv("PORT", port)
			return err
		},
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
		if got := interrupted(syscall.SIGINT, c.stats, "").Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
