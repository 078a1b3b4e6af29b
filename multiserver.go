// Package multiserver writes one disk image to any number of machines at once.
//
// A [Server] reads one image, from a file, a block device or a [Source], and multicasts it
// over UDP. Any number of [Client] programs receive it and write it to a file, a block device,
// a [Target] or a stream. A Client may join at any point, asks for what it misses, and ends
// when every byte is verified, written and synced.
//
// # Use
//
// Fill in a [ServerConfig] or a [ClientConfig], hand it to [NewServer] or [NewClient], and call
// Run. The zero value of each field is its documented default. Run starts every
// goroutine that it needs and returns after all of them have ended; cancel its context to end
// it. A Server runs until then, unless ExitAfterDone is set. A Client ends by itself.
//
// Stats may be called from any goroutine, before, during and after Run. Set ServerConfig.OnEvent
// or ClientConfig.OnPhase to be notified of events. [Client.Plan] returns what Run would write,
// and where. [CheckServer] and [CheckClient] find out why nothing arrives.
//
// # Errors
//
// What the package returns is an [*Error] or the error of the caller's context. Ask for its
// kind with errors.Is and one of the Err variables. Texts name settings as this package does,
// "ClientConfig.Force"; a command replaces them by its flags.
//
// # Protocols
//
// Between a Server and a Client the protocol is MXB 2: repair symbols in place of
// retransmissions, and every block verified before it is written. With the original
// multiserver and multiclient of 2012 both speak MXB 1. docs/protocol.md describes the two.
package multiserver
