package multiserver

import (
	"io"
)

// Source is an image that a Server reads in the place of a file. ReadAt must be safe for
// several goroutines at once, and must return the same bytes each time.
type Source interface {
	io.ReaderAt
	// Size is the image's size in bytes: 1 byte to 4 TiB. It does not change.
	Size() int64
}

// A Source may also have the methods of one or more of these interfaces.
type (
	// HoleReporter reports that length bytes from offset off on are zeros, so that they need
	// not be read. False says nothing.
	HoleReporter interface {
		IsHole(off, length uint64) bool
	}
	// Identifier distinguishes versions of an image, also after a restart: Sources with the same
	// identity have the same bytes. Without it, clients take the image of a restarted Server for
	// another one.
	Identifier interface {
		Identity() (string, error)
	}
	// ChangeReporter returns an error once the bytes have changed. It is asked once a second, and its
	// error ends the session.
	ChangeReporter interface {
		Changed() error
	}
)

// Target takes an image in the place of a path. WriteAt is called from one goroutine at a
// time, in no order; every byte of the image is written at least once, and Sync is called
// after the last one. If the Target is an io.ReaderAt too, Update and Verify can read it,
// and a Client that is started again keeps what is there.
type Target interface {
	io.WriterAt
	// Sync returns after everything written has reached the device.
	Sync() error
}
