package target

import "errors"

// Every error of this package wraps exactly one of these two.
var (
	// ErrRefused: a check failed; nothing was written to the target.
	ErrRefused = errors.New("target refused")
	// ErrIO: the target's device or file system failed.
	ErrIO = errors.New("target failed")
)
