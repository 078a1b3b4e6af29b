// Package reach decides how a client gets at its server's stream: when it asks for the session
// again, when it joins the multicast group again, when it changes to unicast and back, and
// what it means that nothing comes. It has no clock and sends nothing: the time and what
// arrived go in, and what to do comes out.
//
// A driver makes one Engine when the session begins, and calls, from one goroutine:
//
//  1. Packet, Symbol, Foreign, Elsewhere, Answered, Dropped, Damaged and State for what arrives,
//     Moved for another address, Busy while the stream is not missed, and Stopped after a time in
//     which the client did not run;
//  2. Next, again and again, at least each 50 ms; it returns what to do now;
//  3. Silence for what to tell a person.
//
// Rejoin alone serves a client that knows no unicast (MXB 1). Times are since an origin of the
// driver's choice.
package reach
