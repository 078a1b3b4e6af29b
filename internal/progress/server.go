package progress

import (
	"fmt"
	"strings"
	"time"

	"multiserver"
	"multiserver/internal/quote"
)

// server is one sample of a Server.
type server struct {
	multiserver.ServerStats
	bytesPerSec float64 // of the image, over the last rateWindow
	startHint   string
}

// serverSubject reads a Server again and again.
type serverSubject struct {
	read      func() multiserver.ServerStats
	startHint string
	rate      average
	now       server
}

func (s *serverSubject) sample() (news []string) {
	before := s.now
	stats := s.read()
	s.now = server{stats, s.rate.add(stats.Elapsed, stats.ImageBytesSent), s.startHint}
	return s.now.news(before)
}

func (s *serverSubject) line() string            { return s.now.line() }
func (s *serverSubject) bar() barText            { return s.now.bar() }
func (s *serverSubject) table() []string         { return s.now.table() }
func (s *serverSubject) summary() []string       { return s.now.summary() }
func (s *serverSubject) record(h RecordHead) any { return s.now.record(h) }

// news says what happened since the sample before.
func (v server) news(before server) []string {
	var news []string
	if now := strings.Join(v.Interfaces, ", "); now != strings.Join(before.Interfaces, ", ") {
		news = append(news, "the stream goes out on "+now)
	}
	news = append(news, receivers(v.Receivers).news(before.Receivers)...)
	for _, c := range v.Clients {
		// Clients are in the order of FirstSeen: the new ones come after all others.
		if n := len(before.Clients); n == 0 || c.FirstSeen.After(before.Clients[n-1].FirstSeen) {
			news = append(news, fmt.Sprintf("client %v asks", c.Addr))
		}
	}
	return news
}

// line is the state as one plain line, without the program's name.
func (v server) line() string { return strings.Join(v.fields(), ", ") }

// bar has no share: a server that may be asked at any time has no end to reach.
func (v server) bar() barText { return barText{fields: v.fields()} }

func (v server) fields() []string {
	if len(v.Clients)+len(v.Receivers) == 0 {
		return []string{"no client has asked yet"}
	}
	fields := append(receivers(v.Receivers).fields(),
		sizeText(v.ImageBytesSent)+" sent", v.ratioText(), rateText(v.bytesPerSec)+v.reasonText())
	if silent := receivers(v.Receivers).silent(); silent != "" {
		fields = append(fields, "waiting for "+silent)
	}
	if v.Waiting {
		fields = append(fields, v.waitingText())
	}
	if v.ImageBytesPending > 0 {
		fields = append(fields, sizeText(v.ImageBytesPending)+" pending", etaText(v.ImageBytesPending, v.bytesPerSec))
	}
	switch n := uint64(len(v.Clients)); {
	case len(v.Receivers) == 0:
		fields = append(fields, countText(n, "client"))
	case n > 0:
		fields = append(fields, countText(n, "MXB 1 client"))
	}
	return fields
}

func (v server) table() []string { return receivers(v.Receivers).table(v.SizeBytes) }

// summary is what a server leaves behind that was told to stop, or that has no
// client left.
func (v server) summary() []string {
	lines := []string{quote.Line(fmt.Sprintf("served %s for %s: sent %s, %s, to %s",
		quote.Name(v.Name), clockText(v.Elapsed), exactSizeText(v.ImageBytesSent), v.ratioText(), v.clientsText()))}
	if v.BadPackets > 0 {
		lines = append(lines, countText(v.BadPackets, "bad packet")+" ignored")
	}
	lines = append(lines, v.table()...)
	for _, c := range v.Clients {
		lines = append(lines, fmt.Sprintf("client %v: %s for %s, from %s to %s", c.Addr, countText(c.Requests, "request"),
			sizeText(c.AskedBytes), c.FirstSeen.Format(time.TimeOnly), c.LastSeen.Format(time.TimeOnly)))
	}
	return lines
}

// maxNamesWaiting is how many names of clients a line takes.
const maxNamesWaiting = 8

// waitingText says who is there, and how to begin without the others.
func (v server) waitingText() string {
	text := "waiting to begin"
	there := receivers(v.Receivers).names(func(r multiserver.Receiver) (string, bool) {
		return receiverText(r), r.Outcome == multiserver.OutcomePending && r.SilentFor == 0
	})
	if there != "" {
		text += " with " + there
	}
	refused := receivers(v.Receivers).names(func(r multiserver.Receiver) (string, bool) {
		return receiverText(r), r.Outcome == multiserver.OutcomeRefused
	})
	switch {
	case refused != "" && there != "":
		text += " and without " + refused + " (refused)"
	case refused != "":
		text += " without " + refused + " (refused)"
	}
	if v.startHint != "" {
		text += "; " + v.startHint
	}
	return text
}

// clientsText is "3 clients: 2 done, 1 failed"; what became of one of MXB 1 nobody
// knows.
func (v server) clientsText() string {
	text := countText(uint64(len(v.Receivers)+len(v.Clients)), "client")
	if len(v.Receivers) == 0 {
		return text
	}
	fields := receivers(v.Receivers).fields()
	if n := len(v.Clients); n > 0 {
		fields = append(fields, fmt.Sprintf("%d of MXB 1", n))
	}
	return text + ": " + strings.Join(fields, ", ")
}

// reasonText says what the rate is held back by, if anything.
func (v server) reasonText() string {
	switch {
	case v.RateReason == "":
		return ""
	case v.RateLimit == 0:
		return fmt.Sprintf(" (paused: %s)", v.RateReason)
	}
	return fmt.Sprintf(" (limited to %.3g Mbit/s by %s)", float64(v.RateLimit)/1e6, v.RateReason)
}

func (v server) ratioText() string { return fmt.Sprintf("%.2f x the image", v.ratio()) }

func (v server) ratio() float64 {
	if v.SizeBytes == 0 {
		return 0
	}
	return float64(v.ImageBytesSent) / float64(v.SizeBytes)
}
