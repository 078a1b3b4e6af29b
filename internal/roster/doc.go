// Package roster keeps the table of a server's clients: one row for each, with its outcome. Like
// the engines it has no clock or lock: the time is an argument, and the caller guards what
// several goroutines use.
//
// For MXB 2 (Table): Offer keeps the name in an offer. RecordPacket makes a row for a receiver
// that sends a packet in the session. Report and Goodbye update it; a goodbye that refuses makes a
// row too. EndSilent marks the receivers that are gone, Refused and Waits say what refusals and
// silent receivers mean for the session, and Verdict counts at the end. Changes returns the new
// outcomes. OfferMachine keeps which machine an offer tells of, and Twins returns those that have
// one address.
//
// For MXB 1 (Requesters): Asked counts requests by address.
//
// Both are bounded: MaxRows rows, and as many names.
package roster

import "time"

// MaxRows bounds each table.
const MaxRows = 4096

// idleTimeouts: see GiveUp.
const idleTimeouts = 10

// besideTime tells a machine that comes again, once somebody has seen to its target, from another
// client that starts on it at the same time, for another target.
const besideTime = 2 * time.Second

// Anybody can refuse: such rows leave room for others.
const (
	maxRefusals          = MaxRows / 4
	maxRefusalsOfAddress = 16
	maxRowsOfAddress     = 64
)
