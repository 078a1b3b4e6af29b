package target

import (
	"errors"
	"fmt"
	"io/fs"
)

// Every error of this package wraps exactly one of these two, and the system's
// error if there is one. Its text is one line with the thing and the place.
var (
	// ErrRefused: a check failed; nothing was written to the target.
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

// refused says why name is not written to.
func refused(name, why string) error {
	return &failure{name + " is refused: " + why, ErrRefused, nil}
}

// refusedBy is refused for the system's reason.
func refusedBy(name string, err error) error {
	err = bare(err)
	return &failure{name + " is refused: " + err.Error(), ErrRefused, err}
}

// failed says which action on name went wrong: "sync", "close".
func failed(action, name string, err error) error {
	err = bare(err)
	return &failure{fmt.Sprintf("%s %s: %v", action, name, err), ErrIO, err}
}

// failedAt is failed with the byte offset of name where that was.
func failedAt(action, name string, off uint64, err error) error {
	err = bare(err)
	return &failure{fmt.Sprintf("%s %s at offset %d: %v", action, name, off, err), ErrIO, err}
}

// writeFailed says at which byte offset of name a write went wrong.
func writeFailed(name string, off uint64, err error) error {
	return failedAt("write", name, off, err)
}

// bare takes off the operation and the path that package os puts before an error.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
