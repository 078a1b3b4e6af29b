package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"testing"

	"multiserver"
)

func TestExitStatus(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("write /dev/sda: %w", err) }
	for _, c := range []struct {
		err  error
		sig  os.Signal
		want int
	}{
		{nil, nil, 0},
		{errors.New("anything"), nil, 1},
		{wrap(multiserver.ErrConfig), nil, 2},
		{wrap(multiserver.ErrTimeLimit), nil, 3},
		{wrap(multiserver.ErrIntegrity), nil, 4},
		{wrap(multiserver.ErrTargetRefused), nil, 5},
		{wrap(multiserver.ErrTargetIO), nil, 6},
		{wrap(multiserver.ErrReceiversFailed), nil, 7},
		{nil, syscall.SIGINT, 130},
		{wrap(context.Canceled), syscall.SIGTERM, 143},
		{context.Canceled, nil, 1},
		{wrap(multiserver.ErrTargetIO), syscall.SIGINT, 6}, // failed all the same
		{wrap(multiserver.ErrReceiversFailed), syscall.SIGTERM, 7},
	} {
		if got := ExitStatus(c.err, c.sig); got != c.want {
			t.Errorf("%v, signal %v: %d, want %d", c.err, c.sig, got, c.want)
		}
	}
}

func TestSignals(t *testing.T) {
	ctx, received, release := Signals(context.Background())
	defer release()
	if received() != nil {
		t.Errorf("received %v before any", received())
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if received() != syscall.SIGTERM {
		t.Errorf("received %v, want SIGTERM", received())
	}
	if cause := context.Cause(ctx); cause.Error() != "ended by SIGTERM" || !errors.Is(cause, context.Canceled) {
		t.Errorf("the cause is %v", cause)
	}
}

func TestRevisionText(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	for _, c := range []struct {
		settings []debug.BuildSetting
		want     string
	}{
		{nil, ""},
		{[]debug.BuildSetting{revision}, " (0123456789ab)"},
		{[]debug.BuildSetting{revision, {Key: "vcs.modified", Value: "true"}}, " (0123456789ab, modified)"},
		{[]debug.BuildSetting{revision, {Key: "vcs.modified", Value: "false"}}, " (0123456789ab)"},
	} {
		if got := revisionText(c.settings); got != c.want {
			t.Errorf("%v: %q, want %q", c.settings, got, c.want)
		}
	}
}
