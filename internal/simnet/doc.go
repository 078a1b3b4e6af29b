// Package simnet is a network of one sender and many receivers in virtual time: what
// loses, delays, doubles and reorders packets, and a queue of what happens when. It
// knows nothing of what the packets say; package room puts the engines into it.
package simnet
