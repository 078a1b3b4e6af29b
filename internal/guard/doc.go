// Package guard bounds what a host that nobody knows can make a server do. Like the engines it has
// no clock and no socket: the time is an argument.
//
// Answers decides which questions are answered. A driver asks it before each answer that is larger
// than its question, or goes to everybody.
//
// Passes bounds what the clients of MXB 1 have sent again while MXB 2 has something to send.
package guard
