package codec

import "errors"

// Errors that this package wraps.
var (
	// ErrShape: sizes that cannot be, or that do not fit each other or what was
	// expected.
	ErrShape = errors.New("malformed")
	// ErrDigest: the bytes are not those that the digest was made of.
	ErrDigest = errors.New("digest differs")
	// ErrCodec: encoded with what this program does not implement.
	ErrCodec = errors.New("unknown codec")
	// ErrVersion: a manifest of a version that this program does not know.
	ErrVersion = errors.New("unknown version")
)
