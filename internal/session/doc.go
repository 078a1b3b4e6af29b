// Package session serves one image over MXB 2: from the first offer to the last words. It
// carries out what the engines decide (sender, probe, startgate, rate, routes, roster),
// over a store of blocks and a queue to the transmitter. Package host has the socket, the order
// in which sessions send, and MXB 1.
//
// Make a Session by New, and call Run. Handle takes packets from the host's socket. Handle and
// Figures may be called from any goroutine.
//
// What happens:
//
//  1. Handle puts a packet into the inbox. A packet that does not fit is lost, as any packet
//     may be.
//  2. The first offer fixes the packets' size (newLive): they fill the MTU of the interface
//     that it came in on. This starts the engine of the group's stream, and a store.
//  3. Each offer is answered with the session's description. A client that then sends a packet
//     in the session is a receiver, and gets a row in the roster.
//  4. The gate opens when the receivers that the stream waits for have come. Trains of
//     probes go out; when they are answered, the stream begins.
//  5. step reads ahead the blocks that the engines will want. It takes a free batch, fills it
//     from the engine whose turn it is (compose), and hands it to the transmitter.
//  6. Reports of receivers go to their engine, to the rate and to the roster. Ten times a
//     second the rate is judged, and networks and receivers that are silent are dropped.
//  7. A receiver that the group does not reach asks for unicast. It gets a copy of a second
//     stream, which has an engine of its own.
//  8. At the end, or when the image changes or cannot be read, the receivers are told.
//
// Goroutines, all started by Run: loop owns everything but the inbox and the board; the store's
// loaders; watch checks once a second whether the image has changed.
//
// The types: Session is the package's face, and live its state from the first offer on.
// It puts together streams (engines and where their packets go), a composer (batches), pace
// (gate, probes, rate) and the board (figures and the table of receivers).
package session
