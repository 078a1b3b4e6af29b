package fetch

import (
	"fmt"
	"net/netip"
	"time"

	"multiserver/internal/quote"
	"multiserver/internal/reach"
	"multiserver/internal/udp"
)

// preparedAfter is how long preparing the target may take before a person is told.
const preparedAfter = 3 * time.Second

// silence says what has not come for a while, and the likely cause; "" while all is well, or
// nothing is missing.
func (s *session) silence() string {
	if s.engine.Missing() == 0 && s.engine.Complete() {
		return ""
	}
	if lost := s.lostNetwork(); lost != "" {
		return lost
	}
	if b := s.blocks; !b.ready && b.stands > 0 && s.now()-b.stands > preparedAfter {
		return fmt.Sprintf("%s is prepared: what was written to it before goes to the device first", s.cfg.Target.Name())
	}
	needsManifest := s.blocks.content.engine.NeedsManifest() && !s.blocks.proof.expected()
	silence := s.reach.Silence(s.now(), needsManifest)
	if silence.Kind == reach.None {
		return ""
	}
	return silenceText(silence, s.cfg.Offer.Server, s.description.Data, quote.Name(s.cfg.Target.Name()))
}

// lostNetwork says that this machine is at fault, and not the server; "" if it is not.
func (s *session) lostNetwork() string {
	if s.network.lacks == "" {
		return ""
	}
	return "this machine's network is interrupted: " + s.network.lacks
}

// hint names the likely cause of a stream that does not arrive.
func (s *session) hint() string {
	if lost := s.lostNetwork(); lost != "" {
		return lost
	}
	return causeText(s.reach.Cause(s.now()), s.description.Data)
}

func silenceText(s reach.Silence, server, data netip.AddrPort, output string) string {
	during := s.For.Round(time.Second)
	switch s.Kind {
	case reach.Nothing:
		return fmt.Sprintf("nothing from %s for %s: %s", server, during, causeText(s.Cause, data))
	case reach.ReadingFirst:
		return fmt.Sprintf("%s reads its image for the first time: what of it %s holds is known after that", server, output)
	case reach.ServerWaits:
		return fmt.Sprintf("%s waits for more clients before it begins", server)
	case reach.ServerStalled:
		return fmt.Sprintf("no block for %s: %s reads its image, and that disk does not answer", during, server)
	case reach.Unserved:
		return fmt.Sprintf("no block for %s, while %s sends that it lives: what this client asks for does not reach it (a firewall at the server, UDP port %d?), or its blocks do not arrive",
			during, server, server.Port())
	}
	return ""
}

func causeText(c reach.Cause, data netip.AddrPort) string {
	switch c {
	case reach.SocketFull:
		return "all that arrives is dropped for lack of room in the receive buffer: this machine is too busy, or stopped for a while"
	case reach.Damaged:
		return "what arrives is not what was sent: a cable, a switch or this machine's network card damages packets"
	case reach.UnicastBlocked:
		return "the server answers, but its stream by unicast does not arrive: a firewall in between"
	case reach.GroupLost:
		return fmt.Sprintf("the server answers, but the group %s is lost: a switch has forgotten it, or a firewall drops it; joining it again", data.Addr())
	case reach.GroupBlocked:
		return fmt.Sprintf("the server answers, but its stream to %s does not arrive: a firewall here (UDP port %d, %s), or a network without multicast",
			data, data.Port(), udp.MembershipProtocol(data.Addr()))
	case reach.ServerGone:
		return "it does not answer either: it was ended, the network is interrupted, or this machine is too busy to receive"
	}
	return "it does not answer any more: it was ended, or a firewall drops what it sends"
}
