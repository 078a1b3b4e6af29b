package mxb1

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// unhex turns hex with spaces into bytes.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors stand in docs/protocol.md too.
const (
	vectorMapRequest = "4d584250 0001 0000 00000000"
	vectorOffer      = "4d584250 0001 0008 00000000 4d584232 00 000000"
	// 100,000 bytes, 98 blocks, "a.img"
	vectorDescription = "4d584250 0002 0016 00000000 00000000000186a0 00000400 00000062 612e696d6700"
	vectorTrailer     = "4d584250 0002 0026 00000000 00000000000186a0 00000400 00000062 612e696d6700" +
		"4d584232 00 000000 0123456789abcdef"
	vectorBlockRequest = "4d584250 0003 0008 00000000 00000003 00000062"
	vectorBlock        = "4d584250 0004 0003 00000061 616263"
)

func TestVectors(t *testing.T) {
	d := Description{SizeBytes: 100_000, Name: "a.img"}
	ours := d
	ours.HasTrailer, ours.Identity = true, 0x0123456789abcdef
	block := append(Header{Op: OpBlock, Size: 3, Block: 97}.AppendTo(nil), "abc"...)
	for _, test := range []struct {
		name, want string
		got        []byte
	}{
		{"map request", vectorMapRequest, Header{Op: OpMapRequest}.AppendTo(nil)},
		{"map request with an offer", vectorOffer, AppendMapRequest(nil, Offer())},
		{"description", vectorDescription, d.AppendTo(nil)},
		{"description to one of ours", vectorTrailer, ours.AppendTo(nil)},
		{"block request", vectorBlockRequest, BlockRequest{3, 98}.AppendTo(nil)},
		{"block", vectorBlock, block},
	} {
		if want := unhex(t, test.want); !bytes.Equal(test.got, want) {
			t.Errorf("%s is %x, want %x", test.name, test.got, want)
		}
	}
	for _, want := range []Description{d, ours} {
		_, payload, err := Parse(want.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseDescription(payload); err != nil || got != want {
			t.Errorf("parsed %+v, %v; want %+v", got, err, want)
		}
	}
	if id, data, err := ParseBlock(block); id != 97 || string(data) != "abc" || err != nil {
		t.Errorf("ParseBlock = %d, %q, %v", id, data, err)
	}
}

// TestProtocolPrintsVectors: docs/protocol.md shows these packets, and no other of MXB 1.
func TestProtocolPrintsVectors(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	var printed []string
	for line := range strings.Lines(string(text)) {
		if line, ok := strings.CutPrefix(line, "    4d584250 "); ok {
			fields := strings.Fields("4d584250 " + line)
			if name := fields[len(fields)-1]; name == "ours" || name == "original" {
				fields = fields[:len(fields)-1]
			}
			printed = append(printed, strings.Join(fields, ""))
		}
	}
	var want []string
	for _, v := range []string{vectorMapRequest, vectorOffer, vectorDescription, vectorTrailer, vectorBlockRequest, vectorBlock} {
		want = append(want, strings.ReplaceAll(v, " ", ""))
	}
	if !slices.Equal(printed, want) {
		t.Errorf("docs/protocol.md prints\n%s, want\n%s", strings.Join(printed, "\n"), strings.Join(want, "\n"))
	}
}

func TestOffer(t *testing.T) {
	for payload, want := range map[string]bool{
		"":                             false,
		"4d584232":                     false,
		"4d584232 00 000000":           true,
		"4d584232 07 000000 deadbeef":  true, // a newer version is one of ours too
		"4d584250 00 000000":           false,
		"0000000000000000000000000000": false,
	} {
		if got := IsOffer(unhex(t, payload)); got != want {
			t.Errorf("IsOffer(%s) = %v", payload, got)
		}
	}
}

func TestRefused(t *testing.T) {
	description := func(hex string) error {
		_, err := ParseDescription(unhex(t, hex))
		return err
	}
	request := func(hex string) error {
		_, err := ParseBlockRequest(unhex(t, hex))
		return err
	}
	block := func(hex string) error {
		_, _, err := ParseBlock(unhex(t, hex))
		return err
	}
	for _, test := range []struct {
		name string
		err  error
		want error
	}{
		{"nothing", block(""), ErrMagic},
		{"cut header", block("4d584250 0004 0000 000000"), ErrMagic},
		{"other magic", block("4d584251 0004 0001 00000000 61"), ErrMagic},
		{"cut payload", block("4d584250 0004 0003 00000061 6162"), ErrSize},
		{"bytes behind a block", block("4d584250 0004 0003 00000061 61626364"), ErrSize},
		{"empty block", block("4d584250 0004 0000 00000062"), ErrSize},
		{"not a block", block("4d584250 0003 0001 00000000 61"), ErrSize},
		{"block of 1025 bytes", block("4d584250 0004 0401 00000000" + strings.Repeat("00", 1025)), ErrSize},
		{"short request", request("00000000 000000"), ErrSize},
		{"long request", request("00000000 00000000 00"), ErrSize},
		{"first > last", request("00000002 00000001"), ErrRange},
		{"short description", description("00000000000186a0 00000400 000000"), ErrSize},
		{"empty image", description("0000000000000000 00000400 00000000 6100"), ErrSize},
		{"over 4 TiB", description("0000040000000001 00000400 00000001 6100"), ErrSize},
		{"other block size", description("00000000000186a0 00000800 00000062 6100"), ErrSize},
		{"wrong number of blocks", description("00000000000186a0 00000400 00000063 6100"), ErrSize},
		{"open name", description("00000000000186a0 00000400 00000062 61"), ErrName},
		{"no name at all", description("00000000000186a0 00000400 00000062"), ErrName},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, test.err, test.want)
		}
	}
	if err := description("0000040000000000 00000400 00000000 6100"); err != nil {
		t.Errorf("4 TiB, whose number of blocks is 2^32: %v", err)
	}
}

func TestBlockLen(t *testing.T) {
	for _, test := range []struct {
		size, id uint64
		want     int
	}{
		{1, 0, 1}, {1, 1, 0}, {1023, 0, 1023}, {1024, 0, 1024}, {1024, 1, 0}, {1025, 1, 1},
		{5 << 30, 5<<20 - 1, 1024}, {5<<30 + 7, 5 << 20, 7},
		{MaxImageSize, 1<<32 - 1, 1024}, {MaxImageSize, 1 << 32, 0},
	} {
		if got := BlockLen(test.size, test.id); got != test.want {
			t.Errorf("BlockLen(%d, %d) = %d, want %d", test.size, test.id, got, test.want)
		}
	}
}

func TestCheckImageSize(t *testing.T) {
	for size, ok := range map[uint64]bool{0: false, 1: true, 1025: true, MaxImageSize: true, MaxImageSize + 1: false, 1<<64 - 1: false} {
		if err := CheckImageSize(size); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range []string{vectorMapRequest, vectorOffer, vectorDescription, vectorTrailer, vectorBlockRequest, vectorBlock} {
		f.Add(unhex(f, v))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := Parse(b)
		if err != nil {
			return
		}
		if again := append(h.AppendTo(nil), payload...); !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("%x became %x", b, again)
		}
		if IsOffer(payload) && !bytes.HasPrefix(payload, []byte("MXB2")) {
			t.Fatalf("%x is no offer", payload)
		}
		if d, err := ParseDescription(payload); err == nil && len(d.Name) <= MaxNameLen {
			_, p, err := Parse(d.AppendTo(nil))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseDescription(p); err != nil || again != d {
				t.Fatalf("%+v became %+v, %v", d, again, err)
			}
		}
		if q, err := ParseBlockRequest(payload); err == nil {
			if again := q.AppendTo(nil)[HeaderSize:]; !bytes.Equal(again, payload) {
				t.Fatalf("%x became %x", payload, again)
			}
			s := NewSender(1 << 20)
			if n, err := s.Request(q); err == nil && (n == 0 || n > 1024 || s.Pending() != n) {
				t.Fatalf("%v: asked for %d, owed %d", q, n, s.Pending())
			}
		}
		if id, data, err := ParseBlock(b); err == nil {
			again := append(Header{Op: OpBlock, Size: uint16(len(data)), Block: id}.AppendTo(nil), data...)
			if !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
	})
}

func TestParsingAllocatesNothing(t *testing.T) {
	block := unhex(t, vectorBlock)
	request := unhex(t, vectorBlockRequest)
	if n := testing.AllocsPerRun(100, func() {
		ParseBlock(block)
		_, payload, _ := Parse(request)
		ParseBlockRequest(payload)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestEndsWithTheDatagram: a packet that says that it is longer than the datagram is
// refused, though the buffer goes on behind it with what came before.
func TestEndsWithTheDatagram(t *testing.T) {
	buffer := Header{Op: OpBlock, Size: BlockSize}.AppendTo(nil)
	buffer = append(buffer, make([]byte, BlockSize)...)
	for _, n := range []int{HeaderSize, HeaderSize + 1, len(buffer) - 1} {
		if _, _, err := Parse(buffer[:n]); err != ErrSize {
			t.Errorf("%d of %d bytes: error %v, want %v", n, len(buffer), err, ErrSize)
		}
	}
}

// TestLongName: the longest name is that of the longest description that an original client
// takes.
func TestLongName(t *testing.T) {
	for n, want := range map[int]error{maxPathLen: nil, maxPathLen + 1: ErrName} {
		packet := Description{SizeBytes: 1, Name: strings.Repeat("n", n)}.AppendTo(nil)
		if _, err := ParseDescription(packet[HeaderSize:]); err != want {
			t.Errorf("a name of %d bytes: error %v, want %v", n, err, want)
		}
	}
}
