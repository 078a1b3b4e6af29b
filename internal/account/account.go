// Package account keeps a client's figures: what the sessions of both protocols publish, and
// what the library's caller reads. It decides nothing and sends nothing.
//
// A client calls Begin, the search and the session call Update for what happens once and
// Publish for what they count, and the client calls End. Figures may be called from any
// goroutine at any time. The two counters of answers, BadAnswer and ForeignAnswer, are for
// whoever reads the control socket.
package account

import (
	"net/netip"
	"sync"
	"time"
)

// Phase is what a client is busy with.
type Phase int

// The phases, in their order.
const (
	Finding   Phase = iota // looking for a server
	Receiving              // blocks are still missing
	Syncing                // all blocks are in; waiting for the disk
	Verifying              // the target is read back
	Done                   // everything is on the target
)

// Counts are what a session counts, all from its beginning on.
type Counts struct {
	BytesDone       uint64 // of the image: received, or on the target already
	BytesKept       uint64 // of the image that were on the target already
	AskedAgainBytes uint64 // asked for after the first request, each time (MXB 1)
	PacketsReceived uint64 // of the stream, duplicates included
	Duplicates      uint64
	Strangers       uint64 // packets of the stream from somebody else
	BadPackets      uint64 // no valid packet, or one out of its bounds
	SocketDrops     uint64 // for lack of room in the socket's receive buffer
	MemoryDrops     uint64 // for lack of memory, since the target lags behind
}

// Figures are the state at one moment.
type Figures struct {
	Phase     Phase
	Name      string // of the image, "" until a server is found
	Output    string // the target's name
	SizeBytes uint64
	Server    netip.AddrPort
	Protocol  string // "mxb1" or "mxb2", "" until a server is found
	Interface string
	Elapsed   time.Duration // since Begin, until End
	Streaming time.Duration // from the first packet until the last block was in

	Counts
	BytesVerified uint64 // read back
	Verified      bool   // all was read back, and is the image
	Discarded     bool   // the target keeps nothing
	AlteredBytes  uint64 // of the target, after it was verified, because that was asked for
	CutBytes      uint64 // of the image's end, for which a smaller target has no place
	WaitingFor    string // what stays away, and the likely cause
}

// Client is a client's account. Its zero value is ready for Begin.
type Client struct {
	// OnPhase, if not nil, is called after each change of the phase but that of Begin, on
	// the goroutine that changed it. It may call Figures.
	OnPhase func()

	mu        sync.Mutex // guards what follows
	figures   Figures
	bad       uint64 // answers on the control socket
	foreign   uint64
	begun     time.Time
	ended     time.Time // zero until End
	firstData time.Time // when the first packet of the stream was in
	lastData  time.Time // when the last block was in
}

// Begin starts an account with everything at zero.
func (c *Client) Begin(output string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.figures = Figures{Output: output}
	c.bad, c.foreign = 0, 0
	c.begun, c.ended, c.firstData, c.lastData = time.Now(), time.Time{}, time.Time{}, time.Time{}
}

// End stops the clock. Phase is Done if complete.
func (c *Client) End(complete bool) {
	c.mu.Lock()
	c.ended = time.Now()
	c.mu.Unlock()
	c.Update(func(f *Figures) {
		f.WaitingFor = ""
		if complete {
			f.Phase = Done
		}
	})
}

// Update changes figures by f, which may not call the account's methods.
func (c *Client) Update(f func(*Figures)) {
	c.mu.Lock()
	before := c.figures.Phase
	f(&c.figures)
	changed := c.figures.Phase != before
	c.mu.Unlock()
	if changed && c.OnPhase != nil {
		c.OnPhase()
	}
}

// Publish replaces the counts of the session, and what it waits for. complete says that no
// block is missing.
func (c *Client) Publish(counts Counts, waitingFor string, complete bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.figures.Counts, c.figures.WaitingFor = counts, waitingFor
	if counts.PacketsReceived > 0 && c.firstData.IsZero() {
		c.firstData = time.Now()
	}
	if complete && c.lastData.IsZero() {
		c.lastData = time.Now()
	}
}

// BadAnswer counts a packet on the control socket that is no answer.
func (c *Client) BadAnswer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad++
}

// ForeignAnswer counts an answer of another server than the session's.
func (c *Client) ForeignAnswer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.foreign++
}

// Figures returns the state at this moment.
func (c *Client) Figures() Figures {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, now := c.figures, time.Now()
	f.BadPackets += c.bad
	f.Strangers += c.foreign
	if !c.ended.IsZero() {
		now = c.ended
	}
	if !c.begun.IsZero() {
		f.Elapsed = now.Sub(c.begun)
	}
	if !c.lastData.IsZero() {
		now = c.lastData
	}
	if !c.firstData.IsZero() {
		f.Streaming = now.Sub(c.firstData)
	}
	return f
}
