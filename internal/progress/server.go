package progress

import (
	"fmt"
	"strings"
	"time"

	"multiserver"
)

// server is one sample of a Server.
type server struct {
	multiserver.ServerStats
	bytesPerSec float64 // of the image, over the last rateWindow
}

// serverSubject reads a Server again and again.
type serverSubject struct {
	read func() multiserver.ServerStats
	rate average
	now  server
}

func (s *serverSubject) sample() (news []string) {
	before := s.now
	stats := s.read()
	s.now = server{stats, s.rate.add(stats.Elapsed, stats.ImageBytesSent)}
	return s.now.news(before)
}

func (s *serverSubject) line() string            { return s.now.line() }
func (s *serverSubject) bar() barText            { return s.now.bar() }
func (s *serverSubject) summary() []string       { return s.now.summary() }
func (s *serverSubject) record(h RecordHead) any { return s.now.record(h) }

// news says what happened since the sample before.
func (v server) news(before server) []string {
	var news []string
	if v.Interface != before.Interface {
		news = append(news, "the stream goes out on "+v.Interface)
	}
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
	if len(v.Clients) == 0 {
		return []string{"no client has asked yet"}
	}
	fields := []string{sizeText(v.ImageBytesSent) + " sent", v.ratioText(), rateText(v.bytesPerSec)}
	if v.ImageBytesOwed > 0 {
		fields = append(fields, sizeText(v.ImageBytesOwed)+" owed", etaText(v.ImageBytesOwed, v.bytesPerSec))
	}
	return append(fields, v.clientsText())
}

// summary is what a server leaves behind that was told to stop.
func (v server) summary() []string {
	lines := []string{printable(fmt.Sprintf("served %s for %s: sent %s, %s, to %s",
		v.Name, clockText(v.Elapsed), exactSizeText(v.ImageBytesSent), v.ratioText(), v.clientsText()))}
	if v.BadPackets > 0 {
		lines = append(lines, countText(v.BadPackets, "bad packet")+" ignored")
	}
	for _, c := range v.Clients {
		lines = append(lines, fmt.Sprintf("client %v: %s for %s, from %s to %s", c.Addr, countText(c.Requests, "request"),
			sizeText(c.AskedBytes), c.FirstSeen.Format(time.TimeOnly), c.LastSeen.Format(time.TimeOnly)))
	}
	return lines
}

func (v server) clientsText() string { return countText(uint64(len(v.Clients)), "client") }

func (v server) ratioText() string { return fmt.Sprintf("%.2f x the image", v.ratio()) }

func (v server) ratio() float64 {
	if v.SizeBytes == 0 {
		return 0
	}
	return float64(v.ImageBytesSent) / float64(v.SizeBytes)
}
