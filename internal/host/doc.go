// Package host has the server's control socket and everything that its sessions share: who
// gets which packet, the transmitter by which all of them send, and the queriers that keep
// switches from forgetting the groups.
//
// Listen binds the socket. Serve adds a session over MXB 2, and ServeLegacy the service
// over MXB 1. Then Run does all the work; Figures may be called at any time.
//
// A packet's way:
//
//  1. listen reads it from the control socket.
//  2. A map request with an offer of MXB 2, and all that is no packet of MXB 1, goes to the
//     session; other map requests and requests for blocks go to MXB 1.
//  3. The session, and MXB 1, answer through the same socket, and hand batches to the
//     transmitter, by which they take turns.
//
// Goroutines, all started by Run: listen; the transmitter's Run, which sends; each
// session's Run; MXB 1's Run; runQueriers, with a querier for each interface that is served;
// and one that closes the socket when the sessions have said their last words, which ends
// what blocks in it.
package host
