package multiserver

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestRestartedMachine: a machine that comes again is judged by what becomes of it then; a
// client beside another one on its host is not that other one, nor is one after a target
// that failed.
func TestRestartedMachine(t *testing.T) {
	start := time.Unix(1000, 0)
	type client struct {
		name, addr  string
		first, last int // seconds
		outcome     wire.Outcome
		silent      bool // in place of an outcome
	}
	done := client{name: "pc1", addr: "10.0.0.1", first: 10, last: 20, outcome: wire.OutcomeDone}
	for _, c := range []struct {
		name  string
		first client
		want  Outcome
	}{
		{"killed", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 5, silent: true}, OutcomeRestarted},
		{"out of time", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 5, outcome: wire.OutcomeTimeLimit}, OutcomeRestarted},
		{"interrupted", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 5, outcome: wire.OutcomeInterrupted}, OutcomeRestarted},
		{"a bad disk", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 5, outcome: wire.OutcomeTargetIO}, OutcomeFailed},
		{"beside it", client{name: "pc1", addr: "10.0.0.1", first: 1, last: 15, silent: true}, OutcomeLost},
		{"another address", client{name: "pc1", addr: "10.0.0.2", first: 1, last: 5, silent: true}, OutcomeLost},
		{"another name", client{name: "pc2", addr: "10.0.0.1", first: 1, last: 5, outcome: wire.OutcomeFailed}, OutcomeFailed},
	} {
		for _, goodbyeFirst := range []bool{true, false} {
			s := &symbolServer{serverRun: &serverRun{Server: &Server{}}, table: map[wire.ReceiverID]*Receiver{}}
			add := func(id wire.ReceiverID, c client) *Receiver {
				r := &Receiver{
					Name: c.name, Addr: netip.AddrPortFrom(netip.MustParseAddr(c.addr), 4000+uint16(id)),
					FirstSeen: start.Add(time.Duration(c.first) * time.Second), LastSeen: start.Add(time.Duration(c.last) * time.Second),
				}
				s.table[id] = r
				s.receivers = append(s.receivers, r)
				s.cameAgain(r)
				return r
			}
			end := func(r *Receiver, c client) {
				if c.silent {
					s.ended(r, OutcomeLost)
				} else if r.goodbye(wire.Goodbye{Outcome: c.outcome}, block.Geometry{ImageSize: 1 << 20, BlockSize: 1 << 20}); r.Outcome != OutcomeDone {
					s.ended(r, r.Outcome)
				}
			}
			r := add(1, c.first)
			if goodbyeFirst {
				end(r, c.first)
			}
			end(add(2, done), done)
			if !goodbyeFirst {
				end(r, c.first)
			}
			if r.Outcome != c.want {
				t.Errorf("%s: %v, want %v", c.name, r.Outcome, c.want)
			}
			if err := s.verdict(); errors.Is(err, ErrReceiversFailed) != (c.want != OutcomeRestarted) {
				t.Errorf("%s: the verdict is %v", c.name, err)
			}
		}
	}
}
