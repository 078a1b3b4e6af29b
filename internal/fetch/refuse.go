package fetch

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"multiserver/internal/discover"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const (
	// refusalSpread for each unfinished receiver keeps refusals apart, as goodbyes are (R15), up to
	// maxRefusalSpread.
	refusalSpread    = time.Millisecond
	maxRefusalSpread = time.Second
	// refusalRetry is how soon a refusal is repeated. It doubles, and after refusalTries the
	// client gives up: 1.55 s.
	refusalRetry = 50 * time.Millisecond
	refusalTries = 5
)

// Refusal is the goodbye of a client that ends before it joins.
type Refusal struct {
	// Conn is the control socket. Nobody else reads it meanwhile.
	Conn  *udp.Conn
	Offer discover.Offer // with a Session
	Cause error          // why the client ends
	Again bool           // the program tries again of itself
	Log   *slog.Logger
}

// Send says goodbye until the server acknowledges it, and reports whether it has. It takes two and
// a half seconds at most. How the client ends does not depend on it.
func (r *Refusal) Send(ctx context.Context) bool {
	outcome, reason := outcomeOf(r.Cause)
	if !outcome.Refuses() {
		outcome = wire.OutcomeRefused
	}
	d := r.Offer.Session
	packet := wire.Goodbye{
		Session: d.Session, Receiver: d.Receiver, Outcome: outcome, Reason: wire.Text(reason), Again: r.Again,
	}.AppendTo(nil)
	if proof := addressProof(d, d); proof != nil {
		if err := r.Conn.WriteTo(proof, r.Offer.Server, r.Offer.AskFrom); err != nil {
			r.Log.Debug("prove the address", "err", err)
		}
	}
	buf := make([]byte, wire.MaxPacketSize)
	spread := min(time.Duration(d.Receivers)*refusalSpread, maxRefusalSpread)
	next, pause := time.Now().Add(rand.N(spread+1)), refusalRetry
	for tries := 0; ctx.Err() == nil; {
		if now := time.Now(); !now.Before(next) {
			if tries == refusalTries {
				r.Log.Debug("the server does not acknowledge that this client ends", "server", r.Offer.Server)
				return false
			}
			if err := r.Conn.WriteTo(packet, r.Offer.Server, r.Offer.AskFrom); err != nil {
				r.Log.Debug("tell the server that this client ends", "err", err)
			}
			tries++
			next, pause = now.Add(pause), 2*pause
		}
		wake := time.Now().Add(tick)
		if next.Before(wake) {
			wake = next
		}
		r.Conn.SetReadDeadline(wake)
		n, from, _, err := r.Conn.ReadFrom(buf)
		if err != nil || from != r.Offer.Server {
			continue
		}
		if a, err := wire.ParseGoodbyeAck(buf[:n]); err == nil && a.Session == d.Session && !a.Refusal && a.Names(d.Receiver) {
			r.Log.Debug("the server knows that this client ends, and why", "server", r.Offer.Server)
			return true
		}
	}
	return false
}
