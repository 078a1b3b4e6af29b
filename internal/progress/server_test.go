package progress

import (
	"testing"
	"time"

	"multiserver"

	"github.com/google/go-cmp/cmp"
)

func TestServerLine(t *testing.T) {
	busy := with(serving, func(s *multiserver.ServerStats) {
		s.ImageBytesSent = 6 << 30
		s.Clients = []multiserver.ServedClient{visit("10.0.0.2:40000", noon, noon, 1, 4<<30)}
	})
	members := with(busy, func(s *multiserver.ServerStats) {
		s.Clients = nil
		s.Receivers = []multiserver.Receiver{
			member("pc06", "10.0.0.6:40000"),
			gone("pc07", "10.0.0.7:40000", multiserver.OutcomeDone, ""),
			gone("pc08", "10.0.0.8:40000", multiserver.OutcomeFailed, "no space"),
			gone("pc09", "10.0.0.9:40000", multiserver.OutcomeInterrupted, ""),
			gone("pc10", "10.0.0.10:40000", multiserver.OutcomeLost, ""),
		}
	})
	for _, c := range []struct {
		name string
		in   server
		want string
	}{
		{"nobody yet", server{serving, 0, ""}, "no client has asked yet"},
		{"nothing pending", server{busy, 0, ""}, "6.4 GB sent, 1.50 x the image, 0.0 MB/s, 1 client"},
		{"streaming", server{with(busy, func(s *multiserver.ServerStats) { s.ImageBytesPending = 1_174_000_000 }), 117.4e6, ""},
			"6.4 GB sent, 1.50 x the image, 117.4 MB/s, 1.2 GB pending, ETA 0:10, 1 client"},
		{"clients of MXB 2", server{members, 117.4e6, ""},
			"1 receiving, 1 done, 3 failed, 6.4 GB sent, 1.50 x the image, 117.4 MB/s"},
		{"held back", server{with(members, func(s *multiserver.ServerStats) {
			s.RateLimit, s.RateReason = 98e6, "the clients' targets, which write 101 Mbit/s"
		}), 11.2e6, ""},
			"1 receiving, 1 done, 3 failed, 6.4 GB sent, 1.50 x the image, 11.2 MB/s (limited to 98 Mbit/s by the clients' targets, which write 101 Mbit/s)"},
		{"paused", server{with(members, func(s *multiserver.ServerStats) { s.RateReason = "no client needs anything" }), 0, ""},
			"1 receiving, 1 done, 3 failed, 6.4 GB sent, 1.50 x the image, 0.0 MB/s (paused: no client needs anything)"},
		{"held", server{with(members, func(s *multiserver.ServerStats) { s.Waiting = true }), 0, "SIGUSR2 begins at once"},
			"1 receiving, 1 done, 3 failed, 6.4 GB sent, 1.50 x the image, 0.0 MB/s, waiting to begin with pc06 (10.0.0.6); SIGUSR2 begins at once"},
		{"held, and some have refused", server{with(members, func(s *multiserver.ServerStats) {
			s.Waiting = true
			s.Receivers = append(s.Receivers[:1:1], gone("pc07", "10.0.0.7:40000", multiserver.OutcomeRefused, "too small"))
		}), 0, ""}, "1 receiving, 1 refused, 6.4 GB sent, 1.50 x the image, 0.0 MB/s, waiting to begin with pc06 (10.0.0.6) and without pc07 (10.0.0.7) (refused)"},
		{"silent", server{with(members, func(s *multiserver.ServerStats) {
			s.Receivers = append(s.Receivers[1:2:2], with(member("pc06", "10.0.0.6:40000"), func(r *multiserver.Receiver) { r.SilentFor = 12 * time.Second }))
		}), 0, ""}, "1 receiving, 1 done, 6.4 GB sent, 1.50 x the image, 0.0 MB/s, waiting for pc06 (10.0.0.6), silent for 0:12"},
		{"of both", server{with(members, func(s *multiserver.ServerStats) {
			s.Receivers, s.Clients = s.Receivers[:1], busy.Clients
		}), 117.4e6, ""}, "1 receiving, 6.4 GB sent, 1.50 x the image, 117.4 MB/s, 1 MXB 1 client"},
	} {
		if got := c.in.line(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestServerNewsAndSummary(t *testing.T) {
	first := visit("10.0.0.2:40000", noon, noon, 1, 4<<30)
	again := visit("10.0.0.2:40000", noon, noon.Add(time.Minute), 2, 5<<30)
	second := visit("10.0.0.3:40001", noon.Add(time.Hour), noon.Add(time.Hour), 1, 4<<30)
	stats := serving
	s := serverSubject{read: func() multiserver.ServerStats { return stats }}
	for i, c := range []struct {
		change func()
		want   []string
	}{
		{func() {}, nil},
		{func() {
			stats.Interfaces = []string{"eth0"}
			stats.Clients = []multiserver.ServedClient{first}
		}, []string{"the stream goes out on eth0", "client 10.0.0.2:40000 asks"}},
		{func() { stats.Clients = []multiserver.ServedClient{again} }, nil},
		{func() { stats.Clients = []multiserver.ServedClient{again, second} }, []string{"client 10.0.0.3:40001 asks"}},
		{func() { stats.Clients = []multiserver.ServedClient{again, second} }, nil},
		{func() { stats.ImageBytesSent, stats.BadPackets, stats.Elapsed = 8<<30, 3, time.Hour }, nil},
	} {
		c.change()
		if diff := cmp.Diff(c.want, s.sample()); diff != "" {
			t.Errorf("sample %d (-want +got):\n%s", i, diff)
		}
	}
	want := []string{
		"served debian.img for 1:00:00: sent 8589934592 bytes (8.6 GB, 8.0 GiB), 2.00 x the image, to 2 clients",
		"3 bad packets ignored",
		"client 10.0.0.2:40000: 2 requests for 5.4 GB, from 12:00:00 to 12:01:00",
		"client 10.0.0.3:40001: 1 request for 4.3 GB, from 13:00:00 to 13:00:00",
	}
	if diff := cmp.Diff(want, s.summary()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}
