// Package multiserver puts one disk image on many machines at once.
//
// A Server reads one file or block device and multicasts it over UDP. Any number
// of Clients receive it and write it to a file or a block device; a Client may
// join at any point, asks for what it misses, and ends when everything is in.
//
// Make a ServerConfig or a ClientConfig, of which the zero value of each field is
// the documented default, hand it to NewServer or NewClient, and call Run. Run
// starts every goroutine that it needs and returns after all of them have ended.
// Stats may be called from any goroutine, before, during and after Run.
//
// Servers and Clients speak MXB 2 with each other, and MXB 1 with the original
// multiserver and multiclient of 2012; docs/protocol.md describes both.
package multiserver

import (
	"multiserver/internal/failure"
	"multiserver/internal/target"
)

// Errors that Run and the New functions wrap, one for each way in which a caller
// may want to go on. Whatever wraps none of them is a failure while running.
var (
	// ErrConfig: a field of a configuration holds what it cannot hold.
	ErrConfig = failure.Config
	// ErrTimeLimit: no server was found, or the stream stayed away, for longer
	// than the configuration allows.
	ErrTimeLimit = failure.TimeLimit
	// ErrIntegrity: what arrives cannot be told from, or is known to be, something
	// else than the image that the session began with.
	ErrIntegrity = failure.Integrity
	// ErrReceiversFailed: the session is over, and not every client has the image.
	ErrReceiversFailed = failure.ReceiversFailed
	// ErrTargetRefused: the target failed a check before anything was written.
	ErrTargetRefused = target.ErrRefused
	// ErrNoDisk: no disk is the one that Target means. It wraps ErrTargetRefused.
	ErrNoDisk = target.ErrNoDisk
	// ErrTargetIO: the target's device or file system failed.
	ErrTargetIO = target.ErrIO
)
