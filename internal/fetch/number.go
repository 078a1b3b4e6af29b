package fetch

import (
	"time"

	"multiserver/internal/discover"
	"multiserver/internal/wire"
)

// renamePause is how often a session takes a new number at most.
const renamePause = time.Second

// askAfterGoodbye is how long a goodbye may be without an acknowledgement before the server is asked
// whether it knows this client.
const askAfterGoodbye = 300 * time.Millisecond

// addressProof proves this client's address, as an answer asks for; nil if it does not. The private
// number is that of the session so far.
func addressProof(answer, session *wire.Description) []byte {
	if answer.Answer.Proof == 0 {
		return nil
	}
	id := answer.Receiver
	private := session.Answer.Private
	if session.Session != answer.Session || private == 0 {
		private = answer.Answer.Private
	}
	return wire.AddressProof{Session: answer.Session, Receiver: id, Proof: answer.Answer.Proof, Digest: private.Digest(id)}.AppendTo(nil)
}

// proveAddress proves this client's address to the server, if an answer asks for that.
func (s *session) proveAddress(answer *wire.Description) {
	if proof := addressProof(answer, &s.description); proof != nil {
		s.send(proof)
	}
}

// handleAck handles the acknowledgement of goodbyes, or that the server does not take this client's
// packets: then it is asked.
func (s *session) handleAck(now time.Duration, a wire.GoodbyeAck) {
	if a.Session != s.description.Session {
		return
	}
	if a.Refusal && a.Names(s.receiver()) {
		s.reach.Unknown(now)
		return
	}
	s.engine.HandleGoodbyeAck(now, a)
}

// takeNumber goes on with a new number: the server says that another address has this one.
func (s *session) takeNumber(o *discover.Offer) {
	now := s.now()
	if o.Server != s.cfg.Offer.Server || o.Session.Receiver != s.receiver() || s.renamed != 0 && now-s.renamed < renamePause {
		return
	}
	s.renamed = now
	id := wire.NewReceiverID()
	s.cfg.Log.Debug("another address has this client's number; taking a new one")
	for _, d := range []*wire.Description{s.cfg.Offer.Session, &s.description} {
		d.Receiver, d.Answer.Private = id, 0
	}
	s.reader.TakeNumber(id)
	s.engine.TakeNumber(now, id)
	s.blocks.content.engine.Forget()
	s.send(s.appendQuestion(nil))
	s.reach.Unknown(now)
}

// handleLate handles what the server answers to a goodbye that it does not take.
func (s *session) handleLate(answers <-chan discover.Offer) {
	for {
		select {
		case a := <-s.streams.acks:
			s.handleAck(s.now(), a)
		case o, ok := <-answers:
			if !ok {
				return
			}
			if o.Server != s.cfg.Offer.Server || o.Session == nil || o.Session.Session != s.description.Session {
				continue
			}
			if o.Session.Answer.Notice == wire.NumberTaken {
				s.takeNumber(&o)
			} else {
				s.proveAddress(o.Session)
			}
		default:
			return
		}
	}
}
