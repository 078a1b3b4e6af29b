// Package session serves one image over MXB 2: from the first offer to the last words. It
// carries out what the engines decide (sender, probe, startgate, rate, routes, roster),
// over a store of blocks and a queue to the transmitter. The socket, the order in which
// sessions send, and MXB 1 are others'.
//
// Make a Session by New, and call Run. Handle takes in packets that the host's socket has
// heard; it and Figures may be called from any goroutine.
//
// What happens:
//
//  1. Handle puts a packet into the inbox. Whatever finds it full is lost, as any packet
//     may be.
//  2. The first offer fixes what the packets fill (newLive): the MTU of the interface that it
//     came in on. From then on there are an engine for the group's stream and a store.
//  3. Each offer is answered with the session's description. Who then speaks in the session
//     is a receiver, and has a row in the roster.
//  4. The gate opens when the receivers that the stream waits for have come. Trains of
//     probes go out; when they are answered, the stream begins.
//  5. step: what the engines will want is read ahead. A free batch is filled with what the
//     engine whose turn it is wants sent (compose), and handed to the transmitter.
//  6. Reports of receivers go to their engine, to the rate and to the roster. Ten times a
//     second the rate is judged, and networks and receivers that are silent are dropped.
//  7. Who hears nothing of the group asks for unicast, and gets a copy of a second stream,
//     with an engine of its own.
//  8. In the end, or when the image cannot be read or changes, the receivers are told so.
//
// Goroutines, all started by Run: loop owns everything but the inbox, and what the board
// guards; the store's loaders; watch asks once a second whether the image has changed.
//
// The types: Session is what others see, and live what there is from the first offer on.
// It puts together streams (engines and where their packets go), a composer (batches), pace
// (gate, probes, rate) and the board (figures and the table of receivers).
package session
