// Package mxb1 is MXB 1, the wire protocol of the original multiserver and
// multiclient of 2012: its packets, the sender's engine that coalesces what
// clients ask for, and the receiver's engine that knows what is missing and when
// to ask for it.
//
// The engines hold no image bytes, sockets, clocks or goroutines; a driver hands
// them the time and what arrived, and carries out what they return.
//
// docs/protocol.md describes the packets and the rules. In this package a block is the
// protocol's: 1024 bytes of the image, the last one fewer.
package mxb1
