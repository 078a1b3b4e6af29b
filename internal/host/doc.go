// Package host has the server's control socket and everything that its sessions share: the
// dispatch of packets, the transmitter, and the queriers that keep switches from forgetting the
// groups.
//
// Listen binds the socket. Serve adds a session over MXB 2, and ServeLegacy the service
// over MXB 1. Then Run does all the work; Figures may be called at any time.
//
// A packet's way:
//
//  1. listen reads it from the control socket.
//  2. The session gets map requests with an offer of MXB 2, and every packet that is not of
//     MXB 1. MXB 1 gets other map requests and requests for blocks.
//  3. The session and MXB 1 answer through the same socket. They hand batches to the
//     transmitter, which serves them in turn.
//
// Goroutines, all started by Run: listen; the transmitter's Run, which sends; each
// session's Run; MXB 1's Run; runQueriers, with a querier for each interface that is served;
// followInterfaces; and one that closes the socket when the sessions have said their last words, so that nothing
// blocks in it any longer.
package host
