package progress

import (
	"fmt"
	"strings"

	"multiserver"
	"multiserver/internal/quote"
)

// client is one sample of a Client.
type client struct {
	multiserver.ClientStats
	bytesPerSec float64 // over the last rateWindow
}

// clientSubject reads a Client again and again.
type clientSubject struct {
	read func() multiserver.ClientStats
	rate average
	now  client
}

func (s *clientSubject) sample() (news []string) {
	before := s.now
	stats := s.read()
	s.now = client{stats, s.rate.add(stats.Elapsed, stats.BytesDone)}
	return s.now.news(before)
}

func (s *clientSubject) line() string            { return s.now.line() }
func (s *clientSubject) bar() barText            { return s.now.bar() }
func (s *clientSubject) table() []string         { return nil }
func (s *clientSubject) summary() []string       { return s.now.summary() }
func (s *clientSubject) record(h RecordHead) any { return s.now.record(h) }

// news says what happened since the sample before. That a server was found is in
// the log.
func (c client) news(before client) []string {
	switch {
	case before.Phase < multiserver.PhaseSyncing && c.Phase == multiserver.PhaseSyncing:
		return []string{quote.Line("all blocks are in, waiting for " + quote.Name(c.Output) + " to sync")}
	case before.Phase < multiserver.PhaseVerifying && c.Phase == multiserver.PhaseVerifying:
		return []string{quote.Line("synced, reading back " + quote.Name(c.Output))}
	}
	return nil
}

// line is the state as one plain line, without the program's name.
func (c client) line() string {
	fields := []string{c.Phase.String()}
	switch c.Phase {
	case multiserver.PhaseFinding:
		fields = []string{"looking for a server" + c.onInterface(), clockText(c.Elapsed)}
	case multiserver.PhaseReceiving:
		fields = []string{
			shareText(c.BytesDone, c.SizeBytes),
			c.bytesText(),
			clockText(c.Elapsed),
			rateText(c.bytesPerSec),
			c.etaText(),
		}
		fields = append(fields, c.askedAgain()...)
	case multiserver.PhaseSyncing:
		fields = []string{"waiting for " + quote.Name(c.Output) + " to sync", clockText(c.Elapsed)}
	case multiserver.PhaseVerifying:
		fields = []string{"reading back " + quote.Name(c.Output), shareText(c.BytesVerified, c.SizeBytes), clockText(c.Elapsed)}
	}
	if c.WaitingFor != "" {
		fields = append(fields, c.WaitingFor)
	}
	return quote.Line(strings.Join(fields, ", "))
}

func (c client) bar() barText {
	switch c.Phase {
	case multiserver.PhaseFinding:
		return barText{
			fields: []string{quote.Line("looking for a server" + c.onInterface()), clockText(c.Elapsed)},
			hint:   quote.Line(c.WaitingFor),
		}
	case multiserver.PhaseReceiving:
		return barText{
			done: c.BytesDone, total: c.SizeBytes,
			share:  shareText(c.BytesDone, c.SizeBytes),
			fields: append([]string{rateText(c.bytesPerSec), c.etaText(), c.bytesText()}, c.askedAgain()...),
			hint:   quote.Line(c.WaitingFor),
		}
	case multiserver.PhaseVerifying:
		return barText{
			done: c.BytesVerified, total: c.SizeBytes,
			share:  shareText(c.BytesVerified, c.SizeBytes),
			fields: []string{quote.Line("reading back " + quote.Name(c.Output))},
		}
	default:
		return barText{
			done: c.BytesDone, total: c.SizeBytes,
			share:  shareText(c.BytesDone, c.SizeBytes),
			fields: []string{quote.Line("syncing " + quote.Name(c.Output))},
			hint:   quote.Line(c.WaitingFor),
		}
	}
}

// summary is what a success leaves behind; a dry run nothing.
func (c client) summary() []string {
	if c.Phase != multiserver.PhaseDone {
		return nil
	}
	lines := []string{quote.Line(fmt.Sprintf("%s is on %s: %s in %s, %s; %s in all%s",
		quote.Name(c.Name), quote.Name(c.Output), exactSizeText(c.SizeBytes), secondsText(c.Streaming),
		rateText(meanRate(c.received(), c.Streaming)), secondsText(c.Elapsed), c.askedAgainShare()))}
	if c.BytesKept > 0 {
		lines = append(lines, quote.Line(fmt.Sprintf("%s (%s) were on %s already", sizeText(c.BytesKept), shareText(c.BytesKept, c.SizeBytes), quote.Name(c.Output))))
	}
	if c.Verified {
		lines = append(lines, quote.Line(quote.Name(c.Output)+" was read back: every byte is the image's"))
	}
	if c.Discarded {
		lines[0] = strings.Replace(lines[0], " is on "+quote.Name(c.Output)+": ", " was received: ", 1)
	}
	if c.CutBytes > 0 {
		lines = append(lines, quote.Line(fmt.Sprintf("the last %s of %s, in no partition, were left out: %s is smaller", countText(c.CutBytes, "byte"), quote.Name(c.Name), c.Output)))
	}
	if c.AlteredBytes > 0 {
		lines = append(lines, quote.Line(fmt.Sprintf("%s of %s were altered after that, as --wipe-rest, --fit-gpt or --truncate-unused say", countText(c.AlteredBytes, "byte"), c.Output)))
	}
	if c.SocketDrops > 0 {
		lines = append(lines, countText(c.SocketDrops, "drop")+
			" at our own socket for lack of room: this machine was too busy, or needs sysctl -w net.core.rmem_max=33554432 (not as root)")
	}
	if c.MemoryDrops > 0 {
		lines = append(lines, countText(c.MemoryDrops, "block")+" asked for again because the target was too slow to take them")
	}
	if c.Strangers > 0 {
		lines = append(lines, countText(c.Strangers, "packet")+" from somebody else on our group and port: give each server a group of its own")
	}
	if c.BadPackets > 0 {
		lines = append(lines, countText(c.BadPackets, "bad packet")+" ignored")
	}
	if c.Discarded {
		what := "nothing was kept: the output is " + quote.Name(c.Output)
		if c.Protocol == "mxb2" {
			what = "every block was verified, and " + what
		}
		lines = append(lines, what)
	}
	return lines
}

func (c client) onInterface() string {
	if c.Interface == "" {
		return ""
	}
	return " on " + c.Interface
}

func (c client) bytesText() string {
	return sizeText(c.BytesDone) + " of " + sizeText(c.SizeBytes)
}

func (c client) etaText() string { return etaText(c.restBytes(), c.bytesPerSec) }

// received is what of the image came from the server.
func (c client) received() uint64 { return c.BytesDone - min(c.BytesKept, c.BytesDone) }

func (c client) restBytes() uint64 { return c.SizeBytes - min(c.BytesDone, c.SizeBytes) }

// askedAgain is no field at all while nothing was lost.
func (c client) askedAgain() []string {
	if c.AskedAgainBytes == 0 {
		return nil
	}
	return []string{"asked again " + sizeText(c.AskedAgainBytes)}
}

// askedAgainShare is empty for MXB 2, where nobody asks for given blocks again.
func (c client) askedAgainShare() string {
	if c.Protocol == "mxb2" {
		return ""
	}
	if c.AskedAgainBytes == 0 {
		return ", nothing asked again"
	}
	return fmt.Sprintf(", asked again %s (%s)", sizeText(c.AskedAgainBytes), shareText(c.AskedAgainBytes, c.SizeBytes))
}
