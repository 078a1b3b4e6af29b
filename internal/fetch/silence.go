package fetch

import (
	"fmt"
	"net/netip"
	"time"

	"multiserver/internal/reach"
	"multiserver/internal/udp"
)

// silence describes what has not come for a while, and the likely cause. It is "" while all is
// well.
func (s *session) silence() string {
	if s.engine.Missing() == 0 && s.engine.Complete() {
		return ""
	}
	needsManifest := s.blocks.content.engine.NeedsManifest() && !s.blocks.proof.expected()
	silence := s.reach.Silence(s.now(), needsManifest)
	if silence.Kind == reach.None {
		return ""
	}
	return silenceText(silence, s.cfg.Offer.Server, s.description.Data, s.cfg.Target.Name())
}

// hint names the likely cause of a stream that does not arrive.
func (s *session) hint() string { return causeText(s.reach.Cause(s.now()), s.description.Data) }

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
	}
	return ""
}

func causeText(c reach.Cause, data netip.AddrPort) string {
	switch c {
	case reach.SocketFull:
		return "all that arrives is dropped for lack of room in the receive buffer: this machine is too busy, or stopped for a while"
	case reach.UnicastBlocked:
		return "the server answers, but its stream by unicast does not arrive: a firewall in between"
	case reach.GroupLost:
		return fmt.Sprintf("the server answers, but the group %s is lost: a switch has forgotten it, or a firewall drops it; joining it again", data.Addr())
	case reach.GroupBlocked:
		return fmt.Sprintf("the server answers, but its stream to %s does not arrive: a firewall here (UDP port %d, %s), or a network without multicast",
			data, data.Port(), udp.MembershipProtocol(data.Addr()))
	case reach.ServerGone:
		return "it does not answer either: it was ended, or the network is interrupted"
	}
	return "it does not answer any more: it was ended, or a firewall drops what it sends"
}
