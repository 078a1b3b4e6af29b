// Package failure holds the kinds of errors that a caller of the library may want to
// tell apart, and errors of these kinds.
//
// Make one with New, or with Setting if a field of a configuration is at fault. Ask for
// the kind with errors.Is, and for the field with errors.As and an *Error. The library's
// root gives the kinds their public names, all but PacketSize, which is a failure while
// running there; exit codes are the programs' business.
package failure

import (
	"errors"
	"fmt"
)

// The kinds. An error that wraps none of them, and none of the target package's, is a
// failure while running.
var (
	// ErrConfig: a field of a configuration holds what it cannot hold.
	ErrConfig = errors.New("unusable setting")
	// ErrTimeLimit: no server was found, or the stream stayed away, for longer than the
	// configuration allows.
	ErrTimeLimit = errors.New("time limit passed")
	// ErrIntegrity: what arrives cannot be told from, or is known to be, something else
	// than the image that the session began with.
	ErrIntegrity = errors.New("not the same image")
	// ErrReceiversFailed: the session is over, and not every client has the image.
	ErrReceiversFailed = errors.New("not every client got the image")
	// ErrPacketSize: the path does not carry packets of the session's size.
	ErrPacketSize = errors.New("packets of this size do not arrive")
)

// Error is an error of one of the kinds.
type Error struct {
	Kind  error
	Field string // of the configuration, such as "ServerConfig.MTU"; empty if none is at fault
	Err   error  // what happened
}

// New returns an error of a kind with fmt.Errorf's text, which need not repeat the kind.
func New(kind error, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Setting returns an error of kind ErrConfig. field is the configuration's type and field,
// such as "ServerConfig.MTU"; the text begins with it.
func Setting(field, format string, args ...any) error {
	return &Error{Kind: ErrConfig, Field: field, Err: fmt.Errorf(format, args...)}
}

// Error does not repeat the kind.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Err.Error()
	}
	return e.Err.Error()
}

// Unwrap makes errors.Is find the kind and whatever Err wraps.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Err} }
