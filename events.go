package multiserver

import "multiserver/internal/roster"

// ServerEvent is something that happened in a Server: a ReceiverJoined, ReceiverEnded or
// RateChanged.
type ServerEvent interface{ serverEvent() }

// ReceiverJoined: a client of MXB 2 spoke in the session for the first time, or again after
// it was lost.
type ReceiverJoined struct{ Receiver Receiver }

// ReceiverEnded: what became of a client is known, as Receiver.Outcome tells. Of one that was
// lost it may change.
type ReceiverEnded struct{ Receiver Receiver }

// RateChanged: the limit that the stream keeps to, in bits a second, came, went, or changed
// by a quarter. 0 is no limit.
type RateChanged struct {
	BitsPerSec uint64
	Reason     string
}

func (ReceiverJoined) serverEvent() {}
func (ReceiverEnded) serverEvent()  {}
func (RateChanged) serverEvent()    {}

// tellReceiver turns the row of a session's client into an event.
func (c *ServerConfig) tellReceiver(row roster.Row) {
	if c.OnEvent == nil {
		return
	}
	if r := receiverOf(row); r.Outcome == OutcomePending {
		c.OnEvent(ReceiverJoined{r})
	} else {
		c.OnEvent(ReceiverEnded{r})
	}
}

func (c *ServerConfig) tellRate(bitsPerSec uint64, reason string) {
	if c.OnEvent != nil {
		c.OnEvent(RateChanged{bitsPerSec, reason})
	}
}
