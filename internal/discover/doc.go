// Package discover finds a server. After that, it reads a client's control socket. The caller
// decides what to do with the server.
//
// The flow:
//
//  1. Listen opens the control socket.
//  2. Search.Find asks for a description, by multicast, by broadcast and at the original's
//     address, or at one host, until one comes.
//  3. Search.Settle waits until other servers have had their time to answer too. Two servers with
//     different images end it.
//  4. Reader.Run takes the socket over: it passes on what the server answers, and counts
//     the rest. A second server that answers this client's own question late ends the client.
//
// Over MXB 2 a session may begin before the offer stands, without Settle: the Reader then waits
// for the other servers, and tells by Settled when the target may be touched.
//
// An Offer is what a server serves, in either protocol.
package discover
