package progress

import (
	"strings"
	"testing"
	"time"

	"multiserver"
	"multiserver/internal/quote"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestReceiverNews(t *testing.T) {
	here := func(rs ...multiserver.Receiver) []multiserver.Receiver { return rs }
	pc07 := member("pc07", "10.0.0.7:40000")
	pc08 := member("pc08", "10.0.0.8:40000")
	ends := func(o multiserver.Outcome, reason string) multiserver.Receiver {
		return gone("pc07", "10.0.0.7:40000", o, reason)
	}
	for _, c := range []struct {
		name        string
		before, now []multiserver.Receiver
		want        []string
	}{
		{"nobody", nil, nil, nil},
		{"first", nil, here(pc07), []string{"pc07 (10.0.0.7) joins"}},
		{"second", here(pc07), here(pc07, pc08), []string{"pc08 (10.0.0.8) joins"}},
		{"no change", here(pc07, pc08), here(pc07, pc08), nil},
		{"done", here(pc07), here(ends(multiserver.OutcomeDone, "")), []string{"pc07 (10.0.0.7) is done"}},
		{"came and went", nil, here(ends(multiserver.OutcomeDone, "")),
			[]string{"pc07 (10.0.0.7) joins", "pc07 (10.0.0.7) is done"}},
		{"failed", here(pc07), here(ends(multiserver.OutcomeFailed, "write /dev/sda: input/output error")),
			[]string{"pc07 (10.0.0.7) failed: write /dev/sda: input/output error"}},
		{"failed without a word", here(pc07), here(ends(multiserver.OutcomeFailed, "")), []string{"pc07 (10.0.0.7) failed"}},
		{"interrupted", here(pc07), here(ends(multiserver.OutcomeInterrupted, "")), []string{"pc07 (10.0.0.7) was interrupted"}},
		{"interrupted by a signal", here(pc07), here(ends(multiserver.OutcomeInterrupted, "ended by SIGTERM")), []string{"pc07 (10.0.0.7) was interrupted: ended by SIGTERM"}},
		{"lost", here(pc07), here(ends(multiserver.OutcomeLost, "")), []string{"pc07 (10.0.0.7) was lost"}},
		{"back", here(ends(multiserver.OutcomeLost, "")), here(pc07), []string{"pc07 (10.0.0.7) joins again"}},
		{"refused before it joined", nil, here(ends(multiserver.OutcomeRefused, "/dev/sda is refused: it is mounted on /mnt")),
			[]string{"pc07 (10.0.0.7) refused: /dev/sda is refused: it is mounted on /mnt"}},
		{"refused while it tries again", here(ends(multiserver.OutcomeRefused, "")), here(ends(multiserver.OutcomeRefused, "")), nil},
		{"refused without a word", here(pc07), here(ends(multiserver.OutcomeRefused, "")), []string{"pc07 (10.0.0.7) refused"}},
		{"no name", nil, here(member("", "10.0.0.7:40000")), []string{"10.0.0.7 joins"}},
		{"a name and a reason that would clear the screen", nil,
			here(gone("\x1b[2J", "10.0.0.7:40000", multiserver.OutcomeFailed, "a\n\x1bb")),
			[]string{`"\x1b[2J" (10.0.0.7) joins`, `"\x1b[2J" (10.0.0.7) failed: a; \x1bb`}},
	} {
		if diff := cmp.Diff(c.want, receivers(c.now).news(c.before)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestReceiverTable(t *testing.T) {
	rs := receivers{
		member("pc06", "10.0.0.6:40000"),
		with(gone("pc07", "10.0.0.7:40000", multiserver.OutcomeDone, ""), func(r *multiserver.Receiver) {
			r.BytesDone, r.LostOnWire, r.Dropped, r.Limit = 4<<30, 0, 0, ""
		}),
		gone("workstation-8", "192.168.100.108:40000", multiserver.OutcomeFailed, "write /dev/sda: no space left on device"),
		gone("pc\t09", "10.0.0.9:40000", multiserver.OutcomeInterrupted, "\x1b[2J"),
		gone("", "10.0.0.10:40000", multiserver.OutcomeLost, ""),
		gone("pc11", "10.0.0.11:40000", multiserver.OutcomeRefused, "/dev/sda is refused: it is mounted"),
		with(member("pc12", "10.0.0.12:40000"), func(r *multiserver.Receiver) { r.SilentFor = 12 * time.Second }),
		with(member("pc13", "10.0.0.13:40000"), func(r *multiserver.Receiver) { r.SharesAddress = true }),
	}
	want := strings.TrimPrefix(`
client         address                outcome      has     lost   dropped  limit  reason
pc06           10.0.0.6:40000         receiving    0.0%    -      0        -
pc07           10.0.0.7:40000         done         100.0%  0.00%  0        -
workstation-8  192.168.100.108:40000  failed       50.0%   1.00%  5        disk   write /dev/sda: no space left on device
"pc\t09"       10.0.0.9:40000         interrupted  50.0%   1.00%  5        disk   \x1b[2J
-              10.0.0.10:40000        lost         50.0%   1.00%  5        disk
pc11           10.0.0.11:40000        refused      50.0%   1.00%  5        disk   /dev/sda is refused: it is mounted
pc12           10.0.0.12:40000        silent       0.0%    -      0        -
pc13           10.0.0.13:40000        receiving    0.0%    -      0        -      another machine has its address`, "\n")
	if diff := cmp.Diff(want, strings.Join(rs.table(4<<30), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := receivers(nil).table(4 << 30); got != nil {
		t.Errorf("a table of nobody: %q", got)
	}
}

// Whatever a client calls itself, it has one line, and no control character is in it.
func TestReceiverTableHasALineEach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rs receivers
		for range rapid.IntRange(1, 5).Draw(t, "clients") {
			// Bytes, for names and reasons are whatever came in a packet.
			name := string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "name"))
			reason := string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "reason"))
			rs = append(rs, gone(name, "10.0.0.7:40000", multiserver.OutcomeFailed, reason))
		}
		table := rs.table(4 << 30)
		if len(table) != len(rs)+1 {
			t.Fatalf("%d lines for %d clients: %q", len(table), len(rs), table)
		}
		for _, line := range append(table, rs.news(nil)...) {
			if quote.Line(line) != line {
				t.Fatalf("not printable: %q", line)
			}
		}
	})
}

func TestServerSummaryWithReceivers(t *testing.T) {
	v := server{ServerStats: with(serving, func(s *multiserver.ServerStats) {
		s.Elapsed, s.ImageBytesSent = time.Minute, 4<<30
		s.Receivers = []multiserver.Receiver{gone("pc07", "10.0.0.7:40000", multiserver.OutcomeDone, "")}
		s.Clients = []multiserver.ServedClient{visit("10.0.0.2:40000", noon, noon, 1, 4<<30)}
	})}
	want := []string{
		"served debian.img for 1:00: sent 4294967296 bytes (4.3 GB, 4.0 GiB), 1.00 x the image, to 2 clients: 1 done, 1 of MXB 1",
		"client  address         outcome  has    lost   dropped  limit  reason",
		"pc07    10.0.0.7:40000  done     50.0%  1.00%  5        disk",
		"client 10.0.0.2:40000: 1 request for 4.3 GB, from 12:00:00 to 12:00:00",
	}
	if diff := cmp.Diff(want, v.summary()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
