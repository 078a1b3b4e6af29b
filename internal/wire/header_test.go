package wire

import (
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"time"
)

func TestPeek(t *testing.T) {
	types := map[string]Type{
		"symbol": 1, "manifest symbol": 1, "twin symbol": 1, "zero run": 2, "repair advertisement": 3, "heartbeat": 4, "probe": 5, "goodbye ack": 6,
		"description": 7, "announcement": 7, "description of a qcow2 disk": 7, "description of a partitioned disk": 7, "answer": 7, "answer with a notice": 7, "report": 0x81, "wanted": 0x82, "wanted symbols": 0x83,
		"probe report": 0x84, "goodbye": 0x85, "goodbye of a receiver that tries again": 0x85, "unicast request": 0x86,
		"address proof": 0x88, "refusal": 6, "answer with a proof": 7,
		"block proof": 9, "wanted proof": 0x89,
		"heartbeat with a sample": 4, "timed report": 0x81, "sub-block digests": 8, "sub-block digests of a compressed block": 8, "wanted sub-blocks": 0x87,
		"signature": 10, "signature that is none": 10, "wanted signature": 0x8a,
	}
	for name, b := range vectors {
		typ, session, err := Peek(b)
		if strings.HasSuffix(name, "offer") {
			if err != ErrMagic {
				t.Errorf("an offer is taken for a packet: %v", err)
			}
			continue
		}
		if typ != types[name] || session != 0x0123456789abcdef || err != nil {
			t.Errorf("%s: %#x, %#x, %v", name, typ, session, err)
		}
		if !Intact(b) {
			t.Errorf("%s is not intact", name)
		}
	}
	for _, c := range []struct {
		b   string
		err error
	}{
		{"", ErrMagic},
		{"MXBP\x00\x01\x00\x00\x00\x00\x00\x00", ErrMagic},
		{"\xb1", ErrLength},
		{"\xb1\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", ErrLength},
		{"\xb0", VersionError(0)},
		{"\xb2", VersionError(2)},
	} {
		if _, _, err := Peek([]byte(c.b)); !errors.Is(err, c.err) {
			t.Errorf("Peek(%q): %v, want %v", c.b, err, c.err)
		}
	}
}

// TestChecksum holds the checksum against the plain definition.
func TestChecksum(t *testing.T) {
	b := []byte("0123----456789")
	if got, want := checksum(b, 4), crc32.Checksum([]byte("0123456789"), castagnoli); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
	// RFC 3720 §B.4: 32 bytes of zeros. Its listing is in the order of sending.
	if got := checksum(make([]byte, 36), 8); got != 0x8a9136aa {
		t.Errorf("%#x over zeros, want 0x8a9136aa", got)
	}
}

func TestVersionErrorSaysWhich(t *testing.T) {
	if got := VersionError(7).Error(); got != "unknown packet version 7" {
		t.Error(got)
	}
}

func TestMicrosSaturate(t *testing.T) {
	for _, c := range []struct{ d, want time.Duration }{
		{0, 0},
		{-time.Second, 0},
		{1999 * time.Nanosecond, time.Microsecond},
		{time.Hour, time.Hour},
		{72 * time.Minute, (1<<32 - 1) * time.Microsecond},
		{1<<63 - 1, (1<<32 - 1) * time.Microsecond},
	} {
		if got := micros(appendMicros(nil, c.d)); got != c.want {
			t.Errorf("%v is sent as %v, want %v", c.d, got, c.want)
		}
	}
}

func TestUnicastSequence(t *testing.T) {
	for q, want := range map[Sequence]bool{0: false, 1: false, UnicastSequence - 1: false, UnicastSequence: true, MaxSequence: true} {
		if q.Unicast() != want {
			t.Errorf("%#x: Unicast is %v", uint64(q), !want)
		}
	}
}

// TestListsFillAControlPacket holds the longest lists against the limit: one more
// entry would not fit, and AppendTo refuses it.
func TestListsFillAControlPacket(t *testing.T) {
	symbolCounts := func(n int) (l List[SymbolCount]) {
		for range n {
			l = l.Append(SymbolCount{Symbols: 1})
		}
		return l
	}
	ids := func(n int) (l List[ReceiverID]) {
		for range n {
			l = l.Append(1)
		}
		return l
	}
	ranges := func(n int) (l List[Range]) {
		for i := range n {
			l = l.Append(Range{First: blockID(i), Count: 1})
		}
		return l
	}
	digests := func(n int) (l List[SubblockDigest]) {
		for range n {
			l = l.Append(1)
		}
		return l
	}
	symbols := func(n int) (l List[SymbolRange]) {
		for i := range n {
			l = l.Append(SymbolRange{Block: blockID(i), Count: 1})
		}
		return l
	}
	for name, c := range map[string]struct {
		limit, entry int
		packet       func(n int) []byte
	}{
		"report":               {MaxNACKs, symbolCountSize, func(n int) []byte { return Report{NACKs: symbolCounts(n)}.AppendTo(nil) }},
		"repair advertisement": {MaxPending, symbolCountSize, func(n int) []byte { return RepairAdv{Pending: symbolCounts(n)}.AppendTo(nil) }},
		"goodbye ack":          {MaxGoodbyeAcks, receiverIDSize, func(n int) []byte { return GoodbyeAck{Receivers: ids(n)}.AppendTo(nil) }},
		"wanted":               {MaxRanges, rangeSize, func(n int) []byte { return Wanted{Pages: 1, Ranges: ranges(n)}.AppendTo(nil) }},
		"wanted sub-blocks":    {MaxSubblockRanges, rangeSize, func(n int) []byte { return WantedSubblocks{Blocks: ranges(n)}.AppendTo(nil) }},
		"sub-block digests":    {MaxSubblocks, subblockDigestSize, func(n int) []byte { return SubblockDigests{K: 1, Digests: digests(n)}.AppendTo(nil) }},
		"wanted symbols":       {MaxSymbolRanges, symbolRangeSize, func(n int) []byte { return WantedSymbols{Ranges: symbols(n)}.AppendTo(nil) }},
	} {
		b := c.packet(c.limit)
		if len(b) > MaxControlSize || len(b)+c.entry <= MaxControlSize {
			t.Errorf("%s with %d entries is %d bytes", name, c.limit, len(b))
		}
		if err := parsers[name](b); err != nil {
			t.Errorf("%s with %d entries: %v", name, c.limit, err)
		}
		if err := parsers[name](sealed(set16(2, uint16(c.limit+1))(b))); err != ErrBounds {
			t.Errorf("%s said to have %d entries: %v", name, c.limit+1, err)
		}
		if !panics(func() { c.packet(c.limit + 1) }) {
			t.Errorf("%s is sent with %d entries", name, c.limit+1)
		}
	}
}

// TestAppendDoesNotTouchTheDatagram: entries put behind a parsed list go elsewhere.
func TestAppendDoesNotTouchTheDatagram(t *testing.T) {
	b := append(append([]byte{}, vectors["repair advertisement"]...), "rest"...)
	o, err := ParseRepairAdv(sealed(b))
	if err != nil {
		t.Fatal(err)
	}
	longer := o.Pending.Append(SymbolCount{Block: 9, Symbols: 9})
	if longer.Len() != o.Pending.Len()+1 || longer.At(longer.Len()-1).Block != 9 || string(b[len(b)-4:]) != "rest" {
		t.Errorf("%d entries, datagram %x", longer.Len(), b)
	}
	if l := longer.Reset(); l.Len() != 0 {
		t.Errorf("%d entries after Reset", l.Len())
	}
}
