package udp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"
)

// unhex reads what is written as in a packet dump.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAppendQuery(t *testing.T) {
	const header = "46c0 0020 0000 4000 0102 0417 0000 0000 e000 0001 9404 0000 "
	for _, test := range []struct {
		response time.Duration
		want     string
	}{
		{10 * time.Second, header + "1164 ee9b 0000 0000"},
		{199 * time.Millisecond, header + "1101 eefe 0000 0000"},
		{0, header + "1101 eefe 0000 0000"},
		{time.Hour, header + "11ff ee00 0000 0000"},
	} {
		got := appendQuery([]byte{1, 2}, test.response)
		if want := append([]byte{1, 2}, unhex(t, test.want)...); !bytes.Equal(got, want) {
			t.Errorf("%v: got %x, want %x", test.response, got, want)
		}
	}
}

// igmpPacket is an IP packet from source with that message and its checksum, padded
// as Ethernet does.
func igmpPacket(source string, message string) []byte {
	m, err := hex.DecodeString(message)
	if err != nil {
		panic(err)
	}
	binary.BigEndian.PutUint16(m[2:], checksum(m))
	packet := append(appendQuery(nil, 0)[:24], m...)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	from := netip.MustParseAddr(source).As4()
	copy(packet[12:], from[:])
	return append(packet, make([]byte, max(0, 46-len(packet)))...)
}

func TestParseQuery(t *testing.T) {
	const router = "192.0.2.1"
	good := igmpPacket(router, "1164000000000000")
	change := func(at int, value ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], value)
		return b
	}
	for _, test := range []struct {
		name   string
		packet []byte
		source string // "": no query
	}{
		{"version 2", good, router},
		{"version 1", igmpPacket(router, "1100000000000000"), router},
		{"version 3", igmpPacket(router, "1164000000000000027d0000"), router},
		{"longer than we know", igmpPacket(router, "1164000000000000027d000001"), router},
		{"without an address", appendQuery(nil, time.Second), "0.0.0.0"},
		{"without options", append(change(0, 0x45, 0, 0, 28)[:20], good[24:32]...), router},
		{"of one group", igmpPacket(router, "11640000ef010203"), ""},
		{"a report", igmpPacket(router, "16000000ef010203"), ""},
		{"a report that looks general", igmpPacket(router, "1600000000000000"), ""},
		{"bad checksum", change(25, 0x65), ""},
		{"not IGMP", change(9, 17), ""},
		{"not IPv4", change(0, 0x66), ""},
		{"short header", change(0, 0x44), ""},
		{"header only", change(2, 0, 24), ""},
		{"longer than it is", change(2, 0, 200), ""},
		{"first fragment", change(6, 0x20), ""},
		{"last fragment", change(7, 1), ""},
		{"cut", good[:31], ""},
		{"cut in the header", good[:19], ""},
		{"nothing", nil, ""},
	} {
		source, ok := parseQuery(test.packet)
		if ok != (test.source != "") || ok && source.String() != test.source {
			t.Errorf("%s: got %v, %v", test.name, source, ok)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add(appendQuery(nil, time.Second))
	f.Add(igmpPacket("192.0.2.1", "1164000000000000027d0000"))
	f.Add(igmpPacket("192.0.2.1", "11640000ef010203"))
	f.Fuzz(func(t *testing.T, b []byte) {
		source, ok := parseQuery(b)
		if !ok {
			return
		}
		// One of ours with that source is the same to us.
		again := appendQuery(nil, time.Second)
		from := source.As4()
		copy(again[12:], from[:])
		if got, ok := parseQuery(again); !ok || got != source {
			t.Errorf("got %v, %v from a query by %v", got, ok, source)
		}
	})
}

func TestTurns(t *testing.T) {
	start := time.Unix(1e9, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	router, proxy := netip.MustParseAddr("192.0.2.1"), netip.IPv4Unspecified()
	for _, test := range []struct {
		name string
		do   func(*turns)
		want int // seconds after the start
	}{
		{"nobody asks", func(*turns) {}, 60},
		{"we asked", func(t *turns) { t.last = at(60) }, 120},
		{"another of our kind asked", func(t *turns) { t.recordQuery(proxy, at(10)) }, 70},
		{"a router asked", func(t *turns) { t.recordQuery(router, at(10)) }, 160},
		{"a router asks each 125 s", func(t *turns) { t.recordQuery(router, at(10)); t.recordQuery(router, at(135)) }, 285},
		{"a router that is gone", func(t *turns) { t.recordQuery(router, at(10)); t.last = at(160) }, 220},
		{"a router, then another of our kind", func(t *turns) { t.recordQuery(router, at(10)); t.recordQuery(proxy, at(20)) }, 160},
		{"a router, long ago, and another of our kind", func(t *turns) { t.recordQuery(router, at(10)); t.recordQuery(proxy, at(155)) }, 215},
	} {
		turns := turns{every: time.Minute, last: start}
		test.do(&turns)
		if got := turns.due(); !got.Equal(at(test.want)) {
			t.Errorf("%s: due after %v, want %d s", test.name, got.Sub(start), test.want)
		}
	}
}

func TestNewQuerierErrors(t *testing.T) {
	lo := loopback(t)
	if _, err := NewQuerier(lo, 0); err == nil {
		t.Error("an interval of 0 is taken")
	}
	want := os.ErrPermission
	if runtime.GOOS != "linux" {
		want = errors.ErrUnsupported
	}
	q, err := NewQuerier(lo, time.Minute)
	if err == nil {
		q.socket.Close()
		t.Skip("has the right to raw sockets: run it as an ordinary user")
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
