package multiserver

import (
	"context"
	"errors"
	"strings"
	"time"

	"multiserver/internal/discover"
	"multiserver/internal/failure"
	"multiserver/internal/fetch"
	"multiserver/internal/udp"
)

// refusalSearch is how long a client that refuses its target looks for a server to tell: each way
// to ask is tried once.
const refusalSearch = 900 * time.Millisecond

// refuse tells the server why this client ends before it joins. It looks for one if none was found
// yet, for a moment: without a server the client ends as promptly. It changes nothing else.
func (c *Client) refuse(ctx context.Context, m *meeting, cause error) {
	switch {
	case c.cfg.MXB1 == MXB1Only || ctx.Err() != nil || errors.Is(cause, failure.ErrIntegrity):
		return // nobody to tell, or two servers
	case m.search == nil && !errors.Is(cause, ErrTargetRefused):
		return // it is the network that fails
	}
	if m.offer.Session == nil && m.search == nil {
		if err := c.findToRefuse(ctx, m); err != nil {
			c.cfg.Log.Debug("no server is told that this client ends", "err", err)
		}
	}
	if m.offer.Session == nil {
		return
	}
	r := fetch.Refusal{
		Conn: m.conn, Offer: m.offer, Cause: cause,
		Again: c.cfg.TriesAgain != nil && c.cfg.TriesAgain(publicError(cause)), Log: c.cfg.Log,
	}
	r.Send(ctx)
}

// findToRefuse finds the server that would be told.
func (c *Client) findToRefuse(ctx context.Context, m *meeting) (err error) {
	ctx, cancel := context.WithTimeout(ctx, refusalSearch)
	defer cancel()
	if m.interfaces == nil {
		// The target was refused before anybody looked for a network. Nobody waits for one here.
		candidates, err := udp.ListCandidates(c.cfg.Interface, c.cfg.Group)
		if err != nil {
			return err
		}
		if m.interfaces = candidates.Ready; len(m.interfaces) == 0 {
			return errors.New(strings.Join(candidates.Waiting, "; "))
		}
	}
	if m.conn, err = discover.Listen(c.cfg.Group, c.cfg.FromPort, DefaultTTL, m.interfaces); err != nil {
		return err
	}
	search := c.searchOn(m)
	offer, err := search.Find(ctx, m.conn)
	if err == nil {
		err = search.Settle(ctx, m.conn, &offer)
	}
	if err == nil {
		m.search, m.offer = search, offer
	}
	return err
}
