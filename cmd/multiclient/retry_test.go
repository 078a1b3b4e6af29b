package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"multiserver"
)

// TestRetryable: no other try follows where it cannot help, nor where stdout would get the
// image behind a part of it.
func TestRetryable(t *testing.T) {
	silent := fmt.Errorf("%w: nothing came", multiserver.ErrTimeLimit)
	for _, c := range []struct {
		err     error
		stdout  bool
		reached multiserver.ClientPhase
		want    bool
	}{
		{nil, false, multiserver.PhaseDone, false},
		{silent, false, multiserver.PhaseFinding, true},
		{silent, false, multiserver.PhaseReceiving, true},
		{silent, true, multiserver.PhaseFinding, true},
		{silent, true, multiserver.PhaseReceiving, false},
		{silent, true, multiserver.PhaseSyncing, false},
		{errors.New("port in use"), false, multiserver.PhaseFinding, true},
		{fmt.Errorf("%w: changed", multiserver.ErrIntegrity), false, multiserver.PhaseReceiving, true},
		{fmt.Errorf("%w: no such field", multiserver.ErrConfig), false, multiserver.PhaseFinding, false},
		{fmt.Errorf("%w: mounted", multiserver.ErrTargetRefused), false, multiserver.PhaseFinding, false},
		{fmt.Errorf("%w: %w", multiserver.ErrTargetRefused, multiserver.ErrNoDisk), false, multiserver.PhaseFinding, true},
		{fmt.Errorf("%w: EIO", multiserver.ErrTargetIO), false, multiserver.PhaseReceiving, false},
	} {
		if got := retryable(c.err, c.stdout, c.reached); got != c.want {
			t.Errorf("%v, to stdout %v, phase %v: %v, want %v", c.err, c.stdout, c.reached, got, c.want)
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

// TestRefusedIsFinal: a target that is refused ends the tries, however many are left.
func TestRefusedIsFinal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	warnings := 0
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		warnings++
		cancel() // or it would go on for ever
		return len(p), nil
	}), &slog.HandlerOptions{Level: slog.LevelWarn}))
	tries := tries{config: multiserver.ClientConfig{Output: t.TempDir(), Log: log}, retries: endless}
	if err := tries.run(ctx, func() {}); !errors.Is(err, multiserver.ErrTargetRefused) || warnings > 0 {
		t.Errorf("%v after %d warnings, want %v at once", err, warnings, multiserver.ErrTargetRefused)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
