package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// vectors are the packets in testdata/vectors.txt by name.
var vectors = readVectors("testdata/vectors.txt")

func readVectors(path string) map[string][]byte {
	f, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	m := map[string][]byte{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		name, digits, _ := strings.Cut(line, ": ")
		b, err := hex.DecodeString(digits)
		if err != nil || m[name] != nil {
			panic(path + ": " + line)
		}
		m[name] = b
	}
	return m
}

type packet interface{ AppendTo(dst []byte) []byte }

// checkVector holds packet p against the vector of that name, both ways, and
// against the rules that all packets share.
func checkVector[T packet](t *testing.T, name string, p T, parse func([]byte) (T, error)) {
	t.Helper()
	want := vectors[name]
	if got := p.AppendTo(nil); !bytes.Equal(got, want) {
		t.Fatalf("%s: AppendTo\n%x, want\n%x", name, got, want)
	}
	if got := p.AppendTo([]byte("before")); string(got[:6]) != "before" || !bytes.Equal(got[6:], want) {
		t.Errorf("%s: AppendTo behind other bytes gave %x", name, got)
	}
	got, err := parse(want)
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%s: parsed\n%+v, %v, want\n%+v", name, got, err, p)
	}
	for n := range want {
		if _, err := parse(want[:n]); err == nil {
			t.Errorf("%s cut to %d bytes is taken", name, n)
		}
	}
}

// checkCommon holds a parser of packets with the common header and a checksum
// against what it must refuse, made from the vector of that name.
func checkCommon[T packet](t *testing.T, name string, parse func([]byte) (T, error)) {
	t.Helper()
	want := vectors[name]
	for i := range want {
		for bit := range 8 {
			b := bytes.Clone(want)
			b[i] ^= 1 << bit
			if _, err := parse(b); err == nil {
				t.Errorf("%s with bit %d of byte %d turned is taken", name, bit, i)
			}
		}
	}
	checkRefused(t, name, parse, []refused{
		{"MXB 1", func(b []byte) []byte { return append([]byte("MXBP"), b[4:]...) }, ErrMagic},
		{"version", func(b []byte) []byte { b[0]++; return b }, VersionError(2)},
		{"type", func(b []byte) []byte { b[1] ^= 0x40; return b }, ErrType},
		{"short", func(b []byte) []byte { return b[:HeaderSize] }, ErrLength},
	})
	checkTaken(t, name, parse, func(b []byte) []byte { return append(b, "of a later version"...) })
}

// refused is a change to a vector that a parser must refuse with err.
type refused struct {
	name   string
	change func(b []byte) []byte
	err    error
}

func checkRefused[T packet](t *testing.T, vector string, parse func([]byte) (T, error), cases []refused) {
	t.Helper()
	for _, c := range cases {
		b := sealed(c.change(bytes.Clone(vectors[vector])))
		if _, err := parse(b); !errors.Is(err, c.err) {
			t.Errorf("%s, %s: %v, want %v", vector, c.name, err, c.err)
		}
	}
}

// checkTaken expects a parser to give for a changed vector what it gives for the
// vector itself.
func checkTaken[T packet](t *testing.T, vector string, parse func([]byte) (T, error), change func([]byte) []byte) {
	t.Helper()
	want, err := parse(vectors[vector])
	if err != nil {
		t.Fatal(vector, err)
	}
	b := sealed(change(bytes.Clone(vectors[vector])))
	if got, err := parse(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %x is parsed as\n%+v, %v, want\n%+v", vector, b, got, err, want)
	}
}

// sealed makes the checksum of a packet or an offer right.
func sealed(b []byte) []byte {
	at := checksumAt
	if bytes.HasPrefix(b, []byte("MXB2")) {
		at = offerChecksumAt
	}
	if len(b) >= at+4 {
		binary.BigEndian.PutUint32(b[at:], checksum(b, at))
	}
	return b
}

func set8(at int, v uint8) func([]byte) []byte {
	return func(b []byte) []byte { b[at] = v; return b }
}

func set16(at int, v uint16) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint16(b[at:], v); return b }
}

func set32(at int, v uint32) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint32(b[at:], v); return b }
}

func set64(at int, v uint64) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint64(b[at:], v); return b }
}

// fuzz parses whatever comes, as it is and with its checksum made right. What is
// taken must be the same after AppendTo, which then is stable.
func fuzz[T packet](f *testing.F, parse func([]byte) (T, error)) {
	for _, b := range vectors {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parse(b); err == nil {
			again(t, b, parse)
		}
		if b = sealed(bytes.Clone(b)); len(b) > 0 {
			again(t, b, parse)
		}
	})
}

func again[T packet](t *testing.T, b []byte, parse func([]byte) (T, error)) {
	before := bytes.Clone(b)
	p, err := parse(b)
	if !bytes.Equal(b, before) {
		t.Fatal("the parser changed the datagram")
	}
	if err != nil {
		return
	}
	sent := p.AppendTo(nil)
	q, err := parse(sent)
	if err != nil || !reflect.DeepEqual(p, q) {
		t.Fatalf("%+v is sent as %x and parsed as %+v, %v", p, sent, q, err)
	}
	if twice := q.AppendTo(nil); !bytes.Equal(sent, twice) {
		t.Fatalf("%+v is sent as %x, then as %x", q, sent, twice)
	}
}

// panics reports whether f does.
func panics(f func()) (p bool) {
	defer func() { p = recover() != nil }()
	f()
	return false
}

// TestParseAllocatesNothing covers every parser, on what it takes and on what it
// refuses, and the passing over a list.
func TestParseAllocatesNothing(t *testing.T) {
	if len(parsers) != len(vectors) {
		t.Fatalf("%d parsers for %d vectors", len(parsers), len(vectors))
	}
	for name, parse := range parsers {
		good := vectors[name]
		if good == nil || parse(good) != nil {
			t.Fatalf("%s: vector %x: %v", name, good, parse(good))
		}
		bad := bytes.Clone(good)
		bad[0], bad[4] = magic<<4|15, 0
		if n := testing.AllocsPerRun(100, func() { parse(good); parse(bad); parse(good[:5]) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// parsers are the parsers by the names of their vectors.
var parsers = map[string]func([]byte) error{
	"offer":                             func(b []byte) error { _, err := ParseOffer(b); return err },
	"description":                       func(b []byte) error { _, err := ParseDescription(b); return err },
	"description of a qcow2 disk":       func(b []byte) error { _, err := ParseDescription(b); return err },
	"description of a partitioned disk": func(b []byte) error { _, err := ParseDescription(b); return err },
	"announcement":                      func(b []byte) error { _, err := ParseDescription(b); return err },
	"block proof":                       func(b []byte) error { _, err := ParseBlockProof(b); return err },
	"wanted proof":                      func(b []byte) error { _, err := ParseWantedProof(b); return err },
	"signature":                         func(b []byte) error { _, err := ParseSignature(b); return err },
	"signature that is none":            func(b []byte) error { _, err := ParseSignature(b); return err },
	"wanted signature":                  func(b []byte) error { _, err := ParseWantedSignature(b); return err },
	"symbol":                            func(b []byte) error { var s Symbol; return ParseSymbol(b, &s) },
	"manifest symbol":                   func(b []byte) error { var s Symbol; return ParseSymbol(b, &s) },
	"twin symbol":                       func(b []byte) error { var s Symbol; return ParseSymbol(b, &s) },
	"zero run":                          func(b []byte) error { _, err := ParseZeroRun(b); return err },
	"private offer":                     func(b []byte) error { _, err := ParseOffer(b); return err },
	"answer with a notice":              func(b []byte) error { _, err := ParseDescription(b); return err },
	"machine offer":                     func(b []byte) error { _, err := ParseOffer(b); return err },
	"answer":                            func(b []byte) error { _, err := ParseDescription(b); return err },
	"repair advertisement": func(b []byte) error {
		o, err := ParseRepairAdv(b)
		for n := range o.Pending.All() {
			sink += uint64(n.Symbols)
		}
		return err
	},
	"heartbeat":   func(b []byte) error { _, err := ParseHeartbeat(b); return err },
	"probe":       func(b []byte) error { _, err := ParseProbe(b); return err },
	"refusal":     func(b []byte) error { _, err := ParseGoodbyeAck(b); return err },
	"goodbye ack": func(b []byte) error { _, err := ParseGoodbyeAck(b); return err },
	"heartbeat with a sample": func(b []byte) error {
		h, err := ParseHeartbeat(b)
		if h.Sample.Has(1) {
			sink++
		}
		return err
	},
	"timed report": func(b []byte) error { _, err := ParseReport(b); return err },
	"report": func(b []byte) error {
		r, err := ParseReport(b)
		for n := range r.NACKs.All() {
			sink += uint64(n.Symbols)
		}
		return err
	},
	"wanted": func(b []byte) error {
		w, err := ParseWanted(b)
		for r := range w.Ranges.All() {
			sink += uint64(r.Count)
		}
		return err
	},
	"sub-block digests of a compressed block": func(b []byte) error { _, err := ParseSubblockDigests(b); return err },
	"wanted symbols": func(b []byte) error { _, err := ParseWantedSymbols(b); return err },
	"sub-block digests": func(b []byte) error {
		p, err := ParseSubblockDigests(b)
		for d := range p.Digests.All() {
			sink += uint64(d)
		}
		return err
	},
	"wanted sub-blocks":                      func(b []byte) error { _, err := ParseWantedSubblocks(b); return err },
	"probe report":                           func(b []byte) error { _, err := ParseProbeReport(b); return err },
	"goodbye":                                func(b []byte) error { _, err := ParseGoodbye(b); return err },
	"goodbye of a receiver that tries again": func(b []byte) error { _, err := ParseGoodbye(b); return err },
	"unicast request":                        func(b []byte) error { _, err := ParseUnicastRequest(b); return err },
	"address proof":                          func(b []byte) error { _, err := ParseAddressProof(b); return err },
	"answer with a proof":                    func(b []byte) error { _, err := ParseDescription(b); return err },
	"digest offer":                           func(b []byte) error { _, err := ParseOffer(b); return err },
}

var sink uint64
