package multiserver

import (
	"time"

	"multiserver/internal/udp"
)

// A client that hears nothing joins the group again: a switch may have forgotten that
// it is wanted here. What else keeps the stream away, that does no harm to.
const (
	// regroupAfter is the silence after which it does so first, and half of the pause
	// before the second time; each pause is twice the one before.
	regroupAfter = time.Second
	// regroupPause is the longest.
	regroupPause = 10 * time.Second
)

// regrouping tells when to join again in a silence. Its zero is before any.
type regrouping struct {
	heard time.Time // the silence's beginning
	due   time.Time
	pause time.Duration // after that
}

// now tells whether to join again now, if heard is when something last was.
func (g *regrouping) now(now, heard time.Time) bool {
	if heard.After(g.heard) {
		*g = regrouping{heard: heard, due: heard.Add(regroupAfter), pause: 2 * regroupAfter}
	}
	if now.Before(g.due) {
		return false
	}
	g.due = now.Add(g.pause)
	g.pause = min(2*g.pause, regroupPause)
	return true
}

// regroup joins the stream's group again on i if it is time to.
func (c *Client) regroup(g *regrouping, stream *udp.Receiver, i udp.Interface, heard time.Time) {
	if !g.now(time.Now(), heard) {
		return
	}
	if err := stream.Rejoin(i); err != nil {
		c.cfg.Log.Debug("join the group again", "interface", i.Name, "err", err)
		return
	}
	c.cfg.Log.Debug("nothing is heard; joined the group again", "interface", i.Name)
}
