package multiserver

import (
	"fmt"
	"time"

	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// silence says what has not come for a while, and the likely cause; "" while all is
// well, or nothing is missing.
func (s *symbolClient) silence() string {
	if s.engine.Missing() == 0 && s.engine.Complete() {
		return ""
	}
	quiet, dry := time.Since(s.heard), time.Since(s.streamed)
	switch {
	case quiet > worryTime:
		return fmt.Sprintf("nothing from %s for %s: %s", s.found.server, quiet.Round(time.Second), s.silenceHint())
	case dry <= worryTime:
		return ""
	case s.checks.doubting && s.manifestBytes == nil:
		return fmt.Sprintf("%s reads its image for the first time: what of it %s holds is known after that", s.found.server, s.out.Name())
	case s.state == wire.SenderWaiting:
		return fmt.Sprintf("%s waits for more clients before it begins", s.found.server)
	case s.state == wire.SenderStalled:
		return fmt.Sprintf("no block for %s: %s reads its image, and that disk does not answer", dry.Round(time.Second), s.found.server)
	}
	return ""
}

// silenceHint names the likely cause of a stream that stays away.
func (s *symbolClient) silenceHint() string {
	switch answers := s.answered.Sub(s.heard) > rejoinAfter; {
	case time.Since(s.droppedAt) < worryTime:
		return "all that arrives is dropped for lack of room in the receive buffer: this machine is too busy, or stopped for a while"
	case answers && s.byUnicast:
		return "the server answers, but its stream by unicast does not arrive: a firewall in between"
	case answers && s.counts.PacketsReceived > 0:
		return fmt.Sprintf("the server answers, but the group %s is lost: a switch has forgotten it, or a firewall drops it; joining it again", s.session.Data.Addr())
	case answers:
		return fmt.Sprintf("the server answers, but its stream to %s does not arrive: a firewall here (UDP port %d, %s), or a network without multicast",
			s.session.Data, s.session.Data.Port(), udp.MembershipProtocol(s.cfg.Group))
	case s.counts.PacketsReceived > 0:
		return "it does not answer either: it was ended, or the network is interrupted"
	}
	return "it does not answer any more: it was ended, or a firewall drops what it sends"
}
