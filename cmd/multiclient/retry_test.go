package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"multiserver"
)

// TestMendable: what nobody would mend is not tried again, nor what would put the image
// behind a part of itself.
func TestMendable(t *testing.T) {
	silent := fmt.Errorf("%w: nothing came", multiserver.ErrTimeLimit)
	for _, c := range []struct {
		err     error
		output  string
		reached multiserver.ClientPhase
		want    bool
	}{
		{nil, "x", multiserver.PhaseDone, false},
		{silent, "x", multiserver.PhaseFinding, true},
		{silent, "x", multiserver.PhaseReceiving, true},
		{silent, "", multiserver.PhaseReceiving, true},
		{silent, stdoutName, multiserver.PhaseFinding, true},
		{silent, stdoutName, multiserver.PhaseReceiving, false},
		{silent, stdoutName, multiserver.PhaseSyncing, false},
		{errors.New("port in use"), "x", multiserver.PhaseFinding, true},
		{fmt.Errorf("%w: changed", multiserver.ErrIntegrity), "x", multiserver.PhaseReceiving, true},
		{fmt.Errorf("%w: no such field", multiserver.ErrConfig), "x", multiserver.PhaseFinding, false},
		{fmt.Errorf("%w: mounted", multiserver.ErrTargetRefused), "x", multiserver.PhaseFinding, false},
		{fmt.Errorf("%w: EIO", multiserver.ErrTargetIO), "x", multiserver.PhaseReceiving, false},
	} {
		if got := mendable(c.err, c.output, c.reached); got != c.want {
			t.Errorf("%v, to %q, phase %v: %v, want %v", c.err, c.output, c.reached, got, c.want)
		}
	}
}

// TestParseRetries: nothing but a count, or for ever.
func TestParseRetries(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "7": 7, forever: endless} {
		if n, err := parseRetries(text); n != want || err != nil {
			t.Errorf("%q: %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "always", "4294967296"} {
		if n, err := parseRetries(text); err == nil {
			t.Errorf("%q: %d, want an error", text, n)
		}
	}
}

// TestPause: it grows, keeps to its limit, and is never nothing.
func TestPause(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: firstPause, 2: 2 * firstPause, 4: 8 * firstPause, 5: longestPause, 1 << 40: longestPause} {
		for range 100 {
			if p := pause(failures); p < want-want/10 || p > want+want/10+1 {
				t.Errorf("after %d failures: %v, want about %v", failures, p, want)
			}
		}
	}
}

// TestTries: as many as are asked for, and no more.
func TestTries(t *testing.T) {
	defer func(d time.Duration) { firstPause = d }(firstPause)
	firstPause = time.Microsecond
	taken, err := net.ListenUDP("udp4", nil) // so that each try fails at once
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, retries := range []int{0, 1, 3} {
		var told strings.Builder
		tr := tries{retries: retries, config: multiserver.ClientConfig{
			Output: t.TempDir() + "/out", FromPort: uint16(taken.LocalAddr().(*net.UDPAddr).Port),
			Log: slog.New(slog.NewTextHandler(&told, nil)),
		}}
		started := 0
		if err := tr.run(t.Context(), func() { started++ }); err == nil || !mendable(err, "", multiserver.PhaseFinding) {
			t.Fatalf("%d retries end with %v", retries, err)
		}
		if n := strings.Count(told.String(), "; try "); n != retries || started != 1 {
			t.Errorf("%d retries, %d started; want %d, 1: %s", n, started, retries, told.String())
		}
	}
}
