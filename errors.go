package multiserver

import (
	"errors"

	"multiserver/internal/failure"
	"multiserver/internal/target"
)

// The kinds of errors that Run, Plan and the New functions return, one for each way in
// which a caller may want to go on: ask with errors.Is. An error that wraps none of them
// is a failure while running.
var (
	// ErrConfig: a field of a configuration holds what it cannot hold.
	ErrConfig = failure.ErrConfig
	// ErrTimeLimit: no server was found, or nothing arrived, for longer than the configuration
	// allows.
	ErrTimeLimit = failure.ErrTimeLimit
	// ErrIntegrity: what arrives is not, or may not be, the image that the session began
	// with.
	ErrIntegrity = failure.ErrIntegrity
	// ErrReceiversFailed: the session is over, and not every client has the image.
	ErrReceiversFailed = failure.ErrReceiversFailed
	// ErrTargetRefused: the target failed a check before anything was written.
	ErrTargetRefused = target.ErrRefused
	// ErrNoDisk: not exactly one disk meets ClientConfig.Disk, or the device of
	// ClientConfig.Output is not there, or has no medium. It wraps ErrTargetRefused.
	ErrNoDisk = target.ErrNoDisk
	// ErrTargetIO: the target's device or file system failed.
	ErrTargetIO = target.ErrIO
)

// Error is what Run, Plan and the New functions return, unless it is the context's error:
// ask with errors.As. Its text is one line: what happened, where, and what to do.
type Error struct {
	// Kind is one of the Err variables, or nil.
	Kind error
	// Field is the field of the configuration that the error is about, such as
	// "ClientConfig.Force"; empty if there is none.
	Field string
	// Disks are what an ErrNoDisk of ClientConfig.Disk is about, a line each: the disks that
	// meet the conditions, or all if none does.
	Disks []string
	err   error
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns what happened, which wraps Kind.
func (e *Error) Unwrap() error { return e.err }

// publicError gives an error of the internal packages its public type.
func publicError(err error) error {
	if err == nil {
		return nil
	}
	e := &Error{err: err}
	for _, kind := range []error{ErrConfig, ErrTimeLimit, ErrIntegrity, ErrReceiversFailed, ErrNoDisk, ErrTargetRefused, ErrTargetIO} {
		if errors.Is(err, kind) {
			e.Kind = kind
			break
		}
	}
	var f *failure.Error
	if errors.As(err, &f) {
		e.Field = f.Field
	}
	var none *noDisk
	if errors.As(err, &none) {
		e.Disks = none.disks
	}
	return e
}

// noDisk is the refusal of PickDisk with the disks that there are.
type noDisk struct {
	error
	disks []string
}

func (e *noDisk) Unwrap() error { return e.error }
