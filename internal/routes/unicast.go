package routes

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"multiserver/internal/wire"
)

// MaxUnicast bounds the receivers that are served by unicast.
const MaxUnicast = 256

// Mode reports whether a session's stream goes by unicast.
type Mode int

// The modes.
const (
	Auto   Mode = iota // where multicast does not arrive
	Always             // and never by multicast
	Never              // multicast or nothing
)

// Unicast is the list of receivers that are served by unicast. Make it by NewUnicast.
type Unicast struct {
	mode   Mode
	secret []byte // of the tokens
	peers  map[wire.ReceiverID]unicastPeer
}

type unicastPeer struct {
	addr    netip.AddrPort
	renewed time.Duration
}

// NewUnicast returns an empty list. secret makes the tokens; nobody else may know it.
func NewUnicast(mode Mode, secret []byte) *Unicast {
	return &Unicast{mode: mode, secret: secret, peers: map[wire.ReceiverID]unicastPeer{}}
}

// Token returns a token that proves to the server that a receiver gets packets at an address. It
// is 0 if unicast is not offered.
func (u *Unicast) Token(id wire.ReceiverID, addr netip.AddrPort) wire.Token {
	if u.mode == Never {
		return 0
	}
	h := hmac.New(sha256.New, u.secret)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(id)))
	h.Write([]byte(addr.String()))
	return wire.Token(binary.BigEndian.Uint64(h.Sum(nil)))
}

// Proof returns what a receiver proves by that it gets packets at an address, whether or not
// unicast is offered. It is never 0.
func (u *Unicast) Proof(id wire.ReceiverID, addr netip.AddrPort) wire.Token {
	h := hmac.New(sha256.New, u.secret)
	h.Write(binary.BigEndian.AppendUint64([]byte("proof"), uint64(id)))
	h.Write([]byte(addr.String()))
	return max(1, wire.Token(binary.BigEndian.Uint64(h.Sum(nil))))
}

// Private returns the number that a receiver and the server share: the same at each address of
// the receiver, and known to nobody else.
func (u *Unicast) Private(id wire.ReceiverID) wire.PrivateNumber {
	h := hmac.New(sha256.New, u.secret)
	h.Write(binary.BigEndian.AppendUint64([]byte("private"), uint64(id)))
	return wire.PrivateNumber(binary.BigEndian.Uint64(h.Sum(nil)))
}

// Decision is the answer to a request for unicast.
type Decision int

// The decisions.
const (
	Refused Decision = iota // not from there: the token is wrong, or unicast is not offered
	Full                    // MaxUnicast are served
	Renewed                 // it is served already
	Moved                   // it is served, and asks from another address: Admit it there
	New                     // it is not served yet: Admit it
	Ended                   // it no longer wants unicast, and is not served now
)

// Request decides about a request that came from an address.
func (u *Unicast) Request(now time.Duration, r wire.UnicastRequest, from netip.AddrPort) Decision {
	if u.mode == Never || r.Token != u.Token(r.Receiver, from) {
		return Refused
	}
	peer, served := u.peers[r.Receiver]
	switch {
	case !r.Wanted:
		delete(u.peers, r.Receiver)
		return Ended
	case served && peer.addr == from:
		u.Admit(now, r.Receiver, from)
		return Renewed
	case served:
		return Moved
	case len(u.peers) >= MaxUnicast:
		return Full
	}
	return New
}

// Admit records that a receiver is served at an address.
func (u *Unicast) Admit(now time.Duration, id wire.ReceiverID, addr netip.AddrPort) {
	u.peers[id] = unicastPeer{addr, now}
}

// Serves reports whether a receiver is served by unicast.
func (u *Unicast) Serves(id wire.ReceiverID) bool {
	_, ok := u.peers[id]
	return ok
}

// Drop removes a receiver.
func (u *Unicast) Drop(id wire.ReceiverID) { delete(u.peers, id) }

// Lapse removes the receivers that have not renewed their request for so long that they count as
// gone, and appends them to dst. interval is their report interval.
func (u *Unicast) Lapse(dst []wire.ReceiverID, now, interval time.Duration) []wire.ReceiverID {
	limit := 4*interval + 2*time.Second
	first := len(dst)
	for id, p := range u.peers {
		if now-p.renewed > limit {
			delete(u.peers, id)
			dst = append(dst, id)
		}
	}
	slices.Sort(dst[first:]) // the order of a map must not show
	return dst
}
