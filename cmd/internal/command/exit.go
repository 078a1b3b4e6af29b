package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"multiserver"
)

// The exit statuses of both programs. A program that signal n ended adds n to
// exitSignal.
const (
	exitSuccess       = 0
	exitFailure       = 1
	exitUsage         = 2
	exitTimeLimit     = 3
	exitIntegrity     = 4
	exitTargetRefused = 5
	exitTargetIO      = 6
	exitReceivers     = 7
	exitSignal        = 128
)

// ExitStatus is the status for what Run returned. sig is the signal that asked the
// program to end, nil if none did; it counts unless err is a failure of its own.
func ExitStatus(err error, sig os.Signal) int {
	if n, ok := sig.(syscall.Signal); ok && (err == nil || errors.Is(err, context.Canceled)) {
		return exitSignal + int(n)
	}
	switch {
	case err == nil:
		return exitSuccess
	case errors.Is(err, multiserver.ErrConfig):
		return exitUsage
	case errors.Is(err, multiserver.ErrTimeLimit):
		return exitTimeLimit
	case errors.Is(err, multiserver.ErrIntegrity):
		return exitIntegrity
	case errors.Is(err, multiserver.ErrTargetRefused):
		return exitTargetRefused
	case errors.Is(err, multiserver.ErrTargetIO):
		return exitTargetIO
	case errors.Is(err, multiserver.ErrReceiversFailed):
		return exitReceivers
	default:
		return exitFailure
	}
}

// ended is what a run function returns once everything has been said.
type ended struct{ status int }

func (e ended) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// Ended ends the program with a status and prints nothing. Any other error of a run
// function is one of usage.
func Ended(status int) error { return ended{status} }
