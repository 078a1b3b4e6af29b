package target

import (
	"errors"
	"fmt"
	"io/fs"

	"multiserver/internal/quote"
)

// Every error of this package wraps exactly one of these two, and the system's
// error if there is one. Its text is one line with the thing and the place.
var (
	// ErrRefused: a check failed, and nothing was written to the target. If WriteAt finds a
	// partition table for other sectors, only the table was not written.
	ErrRefused = errors.New("target refused")
	// ErrIO: the target's device or file system failed.
	ErrIO = errors.New("target failed")
)

// failure wraps its kind without naming it in the text.
type failure struct {
	text  string
	kind  error // ErrRefused or ErrIO
	cause error // in text already; may be nil
}

func (e *failure) Error() string { return e.text }

func (e *failure) Unwrap() []error { return []error{e.kind, e.cause} }

// refused is the error for a target that is not written to.
func refused(name, why string) error {
	return &failure{quote.Name(name) + " is refused: " + why, ErrRefused, nil}
}

// refusedBy is refused with the system's reason.
func refusedBy(name string, err error) error {
	err = bare(err)
	return &failure{quote.Name(name) + " is refused: " + err.Error(), ErrRefused, err}
}

// failed is the error of an action on name, such as "sync" or "close".
func failed(action, name string, err error) error {
	err = bare(err)
	return &failure{fmt.Sprintf("%s %s: %v", action, quote.Name(name), err), ErrIO, err}
}

// failedAt is failed with a byte offset in name.
func failedAt(action, name string, off uint64, err error) error {
	err = bare(err)
	return &failure{fmt.Sprintf("%s %s at offset %d: %v", action, quote.Name(name), off, err), ErrIO, err}
}

// writeFailed is the error of a write at a byte offset in name.
func writeFailed(name string, off uint64, err error) error {
	return failedAt("write", name, off, err)
}

// extent is the range [lo, hi) of a target with n bytes written in it. Writes in any order leave
// gaps; these are not dirty and cost nothing.
type extent struct{ lo, hi, n uint64 }

// failedIn is failed with the range in which it happened. The system does not name the page that
// it failed to write later.
func failedIn(action, name string, in extent, err error) error {
	if in.n == 0 {
		return failed(action, name, err)
	}
	err = bare(err)
	return &failure{fmt.Sprintf("%s %s between offsets %d and %d: %v", action, quote.Name(name), in.lo, in.hi, err), ErrIO, err}
}

// bare takes off the operation and the path that package os puts before an error.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
