package progress

import (
	"testing"
	"time"

	"multiserver"

	"github.com/google/go-cmp/cmp"
)

func TestClientLine(t *testing.T) {
	for _, c := range []struct {
		name string
		in   client
		want string
	}{
		{"finding on some interfaces", client{finding, 0}, "looking for a server on eth0, wlan0, 0:15"},
		{"finding, nothing known", client{multiserver.ClientStats{}, 0}, "looking for a server, 0:00"},
		{"finding, with a hint", client{with(finding, func(s *multiserver.ClientStats) {
			s.WaitingFor = "no server answered for 15s: is UDP port 7500 open?"
		}), 0}, "looking for a server on eth0, wlan0, 0:15, no server answered for 15s: is UDP port 7500 open?"},
		{"receiving", client{receiving, 117.4e6}, "13.6%, 587 MB of 4.3 GB, 0:06, 117.4 MB/s, ETA 0:32"},
		{"stalled", client{with(receiving, func(s *multiserver.ClientStats) {
			s.AskedAgainBytes = 1_200_000
			s.WaitingFor = "no block for 3s"
		}), 0}, "13.6%, 587 MB of 4.3 GB, 0:06, 0.0 MB/s, ETA -, asked again 1.2 MB, no block for 3s"},
		{"syncing", client{with(done, func(s *multiserver.ClientStats) { s.Phase = multiserver.PhaseSyncing }), 0},
			"waiting for /dev/sda to sync, 0:38"},
		{"verifying", client{with(done, func(s *multiserver.ClientStats) {
			s.Phase, s.BytesVerified = multiserver.PhaseVerifying, 1<<30
		}), 0}, "reading back /dev/sda, 25.0%, 0:38"},
		{"done", client{done, 0}, "done"},
	} {
		if got := c.in.line(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestClientBar(t *testing.T) {
	for _, c := range []struct {
		name string
		in   client
		want barText
	}{
		{"finding has no total", client{finding, 0},
			barText{fields: []string{"looking for a server on eth0, wlan0", "0:15"}}},
		{"receiving", client{receiving, 117.4e6}, barText{
			done: 587_000_000, total: 4 << 30, share: "13.6%",
			fields: []string{"117.4 MB/s", "ETA 0:32", "587 MB of 4.3 GB"},
		}},
		{"a name that would clear the screen", client{with(done, func(s *multiserver.ClientStats) {
			s.Phase, s.Output = multiserver.PhaseSyncing, "\x1b[2J"
		}), 0}, barText{done: 4 << 30, total: 4 << 30, share: "100.0%", fields: []string{`syncing "\x1b[2J"`}}},
		{"syncing", client{with(done, func(s *multiserver.ClientStats) { s.Phase = multiserver.PhaseSyncing }), 0},
			barText{done: 4 << 30, total: 4 << 30, share: "100.0%", fields: []string{"syncing /dev/sda"}}},
		{"verifying", client{with(done, func(s *multiserver.ClientStats) {
			s.Phase, s.BytesVerified = multiserver.PhaseVerifying, 1<<30
		}), 0}, barText{done: 1 << 30, total: 4 << 30, share: "25.0%", fields: []string{"reading back /dev/sda"}}},
	} {
		if diff := cmp.Diff(c.want, c.in.bar(), cmp.AllowUnexported(barText{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestClientNews(t *testing.T) {
	syncing := with(done, func(s *multiserver.ClientStats) { s.Phase = multiserver.PhaseSyncing })
	for _, c := range []struct {
		name        string
		before, now multiserver.ClientStats
		want        []string
	}{
		{"nothing", receiving, receiving, nil},
		{"found", finding, receiving, nil},
		{"all in", receiving, syncing, []string{"all blocks are in, waiting for /dev/sda to sync"}},
		{"synced", syncing, done, nil},
		{"synced, to be verified", syncing, with(done, func(s *multiserver.ClientStats) { s.Phase = multiserver.PhaseVerifying }),
			[]string{"synced, reading back /dev/sda"}},
	} {
		if diff := cmp.Diff(c.want, client{ClientStats: c.now}.news(client{ClientStats: c.before})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestClientSummary(t *testing.T) {
	const clean = "debian.img is on /dev/sda: 4294967296 bytes (4.3 GB, 4.0 GiB) in 36.6 s, 117.3 MB/s; 38.1 s in all"
	for _, c := range []struct {
		name string
		in   multiserver.ClientStats
		want []string
	}{
		{"all well", done, []string{clean + ", nothing asked again"}},
		{"nothing well", with(done, func(s *multiserver.ClientStats) {
			s.AskedAgainBytes = 50_000_000
			s.SocketDrops, s.MemoryDrops, s.Strangers, s.BadPackets = 123, 1, 5, 2
		}), []string{
			clean + ", asked again 50 MB (1.1%)",
			"123 drops at our own socket for lack of room: this machine was too busy, or needs sysctl -w net.core.rmem_max=33554432 (not as root)",
			"1 block asked for again because the target was too slow to take them",
			"5 packets from somebody else on our group and port: give each server a group of its own",
			"2 bad packets ignored",
		}},
		{"half of it was there", with(done, func(s *multiserver.ClientStats) { s.BytesKept, s.Verified = 2<<30, true }), []string{
			"debian.img is on /dev/sda: 4294967296 bytes (4.3 GB, 4.0 GiB) in 36.6 s, 58.7 MB/s; 38.1 s in all, nothing asked again",
			"2.1 GB (50.0%) were on /dev/sda already",
			"/dev/sda was read back: every byte is the image's",
		}},
		{"MXB 2 asks for no given block", with(done, func(s *multiserver.ClientStats) { s.Protocol = "mxb2" }), []string{clean}},
		{"into nothing", with(done, func(s *multiserver.ClientStats) {
			s.Protocol, s.Output, s.Discarded, s.BadPackets = "mxb2", "/dev/null", true, 2
		}), []string{
			"debian.img was received: 4294967296 bytes (4.3 GB, 4.0 GiB) in 36.6 s, 117.3 MB/s; 38.1 s in all",
			"2 bad packets ignored",
			"every block was verified, and nothing was kept: the output is /dev/null",
		}},
		{"into nothing over MXB 1", with(done, func(s *multiserver.ClientStats) { s.Output, s.Discarded = "/dev/null", true }), []string{
			"debian.img was received: 4294967296 bytes (4.3 GB, 4.0 GiB) in 36.6 s, 117.3 MB/s; 38.1 s in all, nothing asked again",
			"nothing was kept: the output is /dev/null",
		}},
		{"no time at all", with(done, func(s *multiserver.ClientStats) { s.Streaming, s.Elapsed = 0, time.Millisecond }),
			[]string{"debian.img is on /dev/sda: 4294967296 bytes (4.3 GB, 4.0 GiB) in 0.0 s, 0.0 MB/s; 0.0 s in all, nothing asked again"}},
	} {
		if diff := cmp.Diff(c.want, client{ClientStats: c.in}.summary()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
