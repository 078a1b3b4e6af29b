package progress

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"multiserver"
)

// maxVisits bounds what a server's summary remembers, whoever forges requests. At
// some 100 bytes each it is half a megabyte.
const maxVisits = 4096

// server is one sample of a Server, and who has asked so far.
type server struct {
	multiserver.ServerStats
	bytesPerSec float64 // of the image, over the last rateWindow
	// visits are all clients ever seen, by first request: Stats forgets a client
	// that has been silent for some minutes, the summary must not.
	visits []multiserver.ServedClient
}

// visitKey tells two visits from one address apart.
type visitKey struct {
	addr      netip.AddrPort
	firstSeen int64 // Unix nanoseconds
}

// serverSubject reads a Server again and again.
type serverSubject struct {
	read  func() multiserver.ServerStats
	rate  average
	now   server
	index map[visitKey]int // into now.visits
	begun bool
}

func (s *serverSubject) sample() (news []string) {
	before := s.now
	stats := s.read()
	s.now = server{stats, s.rate.add(stats.Elapsed, stats.ImageBytesSent), before.visits}
	if !s.begun {
		s.begun = true
		s.index = make(map[visitKey]int)
		news = append(news, s.now.opening())
	} else if before.Interface != stats.Interface {
		news = append(news, "the stream goes out on "+stats.Interface)
	}
	for _, c := range stats.Clients {
		key := visitKey{c.Addr, c.FirstSeen.UnixNano()}
		if i, seen := s.index[key]; seen {
			s.now.visits[i] = c
		} else if len(s.now.visits) < maxVisits {
			s.index[key] = len(s.now.visits)
			s.now.visits = append(s.now.visits, c)
			news = append(news, fmt.Sprintf("client %v asks", c.Addr))
		}
	}
	return news
}

func (s *serverSubject) line() string            { return s.now.line() }
func (s *serverSubject) bar() barText            { return s.now.bar() }
func (s *serverSubject) summary() []string       { return s.now.summary() }
func (s *serverSubject) record(h RecordHead) any { return s.now.record(h) }

func (v server) opening() string {
	on := ""
	if v.Interface != "" {
		on = " on " + v.Interface
	}
	return printable(fmt.Sprintf("serving %s (%s) to %v%s, asked at %v", v.Name, sizeText(v.SizeBytes), v.Group, on, v.Control))
}

// line is the state as one plain line, without the program's name.
func (v server) line() string { return strings.Join(v.fields(), ", ") }

// bar has no share: a server that may be asked at any time has no end to reach.
func (v server) bar() barText { return barText{fields: v.fields()} }

func (v server) fields() []string {
	if len(v.visits) == 0 {
		return []string{"no client has asked yet"}
	}
	fields := []string{sizeText(v.ImageBytesSent) + " sent", v.ratioText(), rateText(v.bytesPerSec)}
	if v.ImageBytesOwed > 0 {
		fields = append(fields, sizeText(v.ImageBytesOwed)+" owed", etaText(v.ImageBytesOwed, v.bytesPerSec))
	}
	return append(fields, v.visitsText())
}

// summary is what a server leaves behind that was told to stop.
func (v server) summary() []string {
	lines := []string{printable(fmt.Sprintf("served %s for %s: sent %s, %s, to %s",
		v.Name, clockText(v.Elapsed), exactSizeText(v.ImageBytesSent), v.ratioText(), v.visitsText()))}
	if v.BadPackets > 0 {
		lines = append(lines, countText(v.BadPackets, "bad packet")+" ignored")
	}
	for _, c := range v.visits {
		lines = append(lines, fmt.Sprintf("client %v: %s for %s, from %s to %s", c.Addr, countText(c.Requests, "request"),
			sizeText(c.AskedBytes), c.FirstSeen.Format(time.TimeOnly), c.LastSeen.Format(time.TimeOnly)))
	}
	return lines
}

func (v server) visitsText() string { return countText(uint64(len(v.visits)), "client") }

func (v server) ratioText() string { return fmt.Sprintf("%.2f x the image", v.ratio()) }

func (v server) ratio() float64 {
	if v.SizeBytes == 0 {
		return 0
	}
	return float64(v.ImageBytesSent) / float64(v.SizeBytes)
}
