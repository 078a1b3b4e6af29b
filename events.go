package multiserver

import "multiserver/internal/roster"

// ServerEvent is something that happened in a Server: a ReceiverJoined, ReceiverEnded or
// RateChanged.
type ServerEvent interface{ serverEvent() }

// ReceiverJoined: a client of MXB 2 sent its first packet in the session, or came back after it was
// lost.
type ReceiverJoined struct{ Receiver Receiver }

// ReceiverEnded: a client has ended, as Receiver.Outcome says. One that refused need not have
// joined. The outcome of one that was lost, or that refused, may still change.
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

// emitReceiver turns the row of a session's client into an event.
func (c *ServerConfig) emitReceiver(row roster.Row) {
	if c.OnEvent == nil {
		return
	}
	if r := receiverOf(row); r.Outcome == OutcomePending {
		c.OnEvent(ReceiverJoined{r})
	} else {
		c.OnEvent(ReceiverEnded{r})
	}
}

func (c *ServerConfig) emitRate(bitsPerSec uint64, reason string) {
	if c.OnEvent != nil {
		c.OnEvent(RateChanged{bitsPerSec, reason})
	}
}
