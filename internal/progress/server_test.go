package progress

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"multiserver"

	"github.com/google/go-cmp/cmp"
)

func TestServerLine(t *testing.T) {
	busy := with(serving, func(s *multiserver.ServerStats) { s.ImageBytesSent = 6 << 30 })
	visits := []multiserver.ServedClient{visit("10.0.0.2:40000", noon, noon, 1, 4<<30)}
	for _, c := range []struct {
		name string
		in   server
		want string
	}{
		{"nobody yet", server{ServerStats: serving}, "no client has asked yet"},
		{"nothing owed", server{busy, 0, visits}, "6.4 GB sent, 1.50 x the image, 0.0 MB/s, 1 client"},
		{"streaming", server{with(busy, func(s *multiserver.ServerStats) { s.ImageBytesOwed = 1_174_000_000 }), 117.4e6, visits},
			"6.4 GB sent, 1.50 x the image, 117.4 MB/s, 1.2 GB owed, ETA 0:10, 1 client"},
	} {
		if got := c.in.line(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// A client that Stats has forgotten is in the summary all the same, and one that
// comes back later is a second visit.
func TestServerRemembersVisits(t *testing.T) {
	later := noon.Add(time.Hour)
	stats := serving
	s := serverSubject{read: func() multiserver.ServerStats { return stats }}
	transcript := func(change func()) []string {
		change()
		return s.sample()
	}
	for i, c := range []struct {
		change func()
		want   []string
	}{
		{func() {}, []string{"serving debian.img (4.3 GB) to 225.0.20.10:16000, asked at 0.0.0.0:7500"}},
		{func() {
			stats.Interface = "eth0"
			stats.Clients = []multiserver.ServedClient{visit("10.0.0.2:40000", noon, noon, 1, 4<<30)}
		}, []string{"the stream goes out on eth0", "client 10.0.0.2:40000 asks"}},
		{func() {
			stats.Clients = []multiserver.ServedClient{visit("10.0.0.2:40000", noon, noon.Add(time.Minute), 2, 5<<30)}
		}, nil},
		{func() { stats.Clients = nil }, nil},
		{func() {
			stats.Clients = []multiserver.ServedClient{visit("10.0.0.2:40000", later, later, 1, 4<<30)}
		}, []string{"client 10.0.0.2:40000 asks"}},
		{func() { stats.ImageBytesSent, stats.BadPackets, stats.Elapsed = 8<<30, 3, time.Hour }, nil},
	} {
		if diff := cmp.Diff(c.want, transcript(c.change)); diff != "" {
			t.Errorf("sample %d (-want +got):\n%s", i, diff)
		}
	}
	want := []string{
		"served debian.img for 1:00:00: sent 8589934592 bytes (8.6 GB, 8.0 GiB), 2.00 x the image, to 2 clients",
		"3 bad packets ignored",
		"client 10.0.0.2:40000: 2 requests for 5.4 GB, from 12:00:00 to 12:01:00",
		"client 10.0.0.2:40000: 1 request for 4.3 GB, from 13:00:00 to 13:00:00",
	}
	if diff := cmp.Diff(want, s.summary()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestServerVisitsAreBounded(t *testing.T) {
	stats := serving
	s := serverSubject{read: func() multiserver.ServerStats { return stats }}
	for i := range maxVisits + 10 {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 40000)
		stats.Clients = []multiserver.ServedClient{{Addr: addr, FirstSeen: noon}}
		s.sample()
	}
	if len(s.now.visits) != maxVisits {
		t.Errorf("%d visits kept, want %d", len(s.now.visits), maxVisits)
	}
	if want := fmt.Sprintf("%d clients", maxVisits); s.now.visitsText() != want {
		t.Errorf("%q, want %q", s.now.visitsText(), want)
	}
}
