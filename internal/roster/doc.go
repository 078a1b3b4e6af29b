// Package roster keeps the table of a server's clients: one row for each, with its outcome. Like
// the engines it has no clock or lock: the time is an argument, and the caller guards what
// several goroutines use.
//
// For MXB 2 (Table): Offer keeps the name in an offer. RecordPacket makes a row for a receiver
// that sends a packet in the session. Report and Goodbye update it. EndSilent marks the
// receivers that are gone, and Verdict counts at the end. Changes returns the new outcomes.
//
// For MXB 1 (Requesters): Asked counts requests by address.
//
// Both are bounded: MaxRows rows, and as many names.
package roster

// MaxRows bounds each table.
const MaxRows = 4096
