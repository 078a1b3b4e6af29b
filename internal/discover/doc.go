// Package discover finds a server. After that, it reads a client's control socket. The caller
// decides what to do with the server.
//
// The flow:
//
//  1. Listen opens the control socket.
//  2. Search.Find asks for a description, by multicast, by broadcast and at the original's
//     address, or at one host, until one comes. Two servers with different images end it.
//  3. Reader.Run then reads the socket: it passes on the server's answers, and counts all other
//     packets. If a second server answers this client's own question late, the client ends.
//
// An Offer is what a server serves, in either protocol.
package discover
