package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"multiserver/internal/lab"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	lab.Main(m)
}

// newBench has a network of two clients and an image that takes many times the
// interval of a watch, however the machine is busy.
func newBench(t *testing.T) *bench {
	t.Helper()
	lab.NewTest(t, lab.Config{Hosts: 1}) // skips where there is none
	return &bench{
		row:    row{name: "test", clients: 2, sizeBytes: 16 << 20, config: lab.Config{UplinkBitsPerSec: lab.GigabitEthernet}},
		folder: t.TempDir(),
		rounds: 1,
	}
}

// TestPeersMissing: where the peers are not installed the others are measured, and the
// notes say who is left out.
func TestPeersMissing(t *testing.T) {
	built := lab.BuildOnce(t)
	t.Setenv("PATH", t.TempDir())
	o := options{programs: filepath.Dir(built.Server), by: regexp.MustCompile("^(" + ours + "|udpcast|UFTP)$")}
	there, notes, err := o.systems()
	if err != nil {
		t.Fatal(err)
	}
	if len(there) != 1 || there[0].name != ours {
		t.Errorf("%d systems are there, want %s alone", len(there), ours)
	}
	text := strings.Join(notes, "\n")
	for _, want := range []string{"udpcast is left out", "apt-get install udpcast", "UFTP is left out", "apt-get install uftp"} {
		if !strings.Contains(text, want) {
			t.Errorf("the notes do not say %q:\n%s", want, text)
		}
	}
}

func TestMeasure(t *testing.T) {
	b := newBench(t)
	systems := []system{
		bareSystem(bareLoop, barePackets), bareSystem("single", 1), multiserverSystem(ours, lab.BuildOnce(t)),
		multiserverSystem(oursMXB1, lab.BuildOnce(t), "--mxb1"),
	}
	results, err := b.measure(t.Context(), systems)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(systems) {
		t.Fatalf("%d results of %d systems", len(results), len(systems))
	}
	for n, r := range results {
		m := r.median
		if r.failed || r.key != (key{"test", systems[n].name}) {
			t.Errorf("result %d is %+v", n, r)
		}
		// 1.01 is MXB 1's with super-packets, which count one header, and less than all
		// others'. A client that starts late has the image sent once more.
		if m.sent < 1.01 || m.sent > 3 || m.goodput <= 0 || m.wallSeconds <= 0 || m.toBare <= 0 {
			t.Errorf("%s: %+v", r.system, m)
		}
		if m.serverPeakBytes < 1<<20 || m.clientPeakBytes < 1<<20 {
			t.Errorf("%s: %+v", r.system, m)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(b.folder, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWrongOutput shows that a system is not believed.
func TestWrongOutput(t *testing.T) {
	b := newBench(t)
	liar := bareSystem("liar", barePackets)
	liar.check = func(j *job, n int, _ []byte) error {
		if err := lab.RandomFile(j.output(n), j.sizeBytes, imageSeed+1); err != nil {
			return err
		}
		return sameAsImage(j, n, nil)
	}
	results, err := b.measure(t.Context(), []system{liar})
	if err == nil || !strings.Contains(err.Error(), "WRONG OUTPUT") {
		t.Errorf("error %v", err)
	}
	if len(results) != 1 || !results[0].failed {
		t.Fatalf("results %+v", results)
	}
	if s := line(results[0], b.row, table{}); !strings.Contains(s, "**FAILED**") {
		t.Errorf("the table says %s", s)
	}
}

// TestFailure shows that what the programs said is told.
func TestFailure(t *testing.T) {
	b := newBench(t)
	broken := bareSystem("broken", barePackets)
	client := broken.client
	broken.client = func(j *job, n int) *lab.Cmd {
		c := client(j, n)
		c.Env = append(c.Env, roleVariable+"=nonsense")
		return c
	}
	_, err := b.measure(t.Context(), []system{broken})
	if err == nil || !strings.Contains(err.Error(), "client 0: exit status 1") || !strings.Contains(err.Error(), "no role nonsense") {
		t.Errorf("error %v", err)
	}
}

func TestMedian(t *testing.T) {
	runs := []figures{{goodput: 3, sent: 1}, {goodput: 1, sent: 2}, {goodput: 2, sent: 9}}
	if m := median(runs); m != (figures{goodput: 2, sent: 2}) {
		t.Errorf("%+v", m)
	}
	if m := median(runs[:2]); m != (figures{goodput: 2, sent: 1.5}) {
		t.Errorf("of two: %+v", m)
	}
}

func TestVerdicts(t *testing.T) {
	one := func(system string, goodput float64) result {
		return result{key: key{"row", system}, median: figures{goodput: goodput, toBare: goodput / 100}}
	}
	wanted := []figure{
		atLeast(ours, "÷ bare", 0.85, of(toBare, "row", ours)),
		moreThan(ours, "÷ udpcast's", 1, ratio(goodput, "row", ours, "row", "udpcast")),
		told("UFTP", "goodput", of(goodput, "row", "UFTP")),
	}
	for _, c := range []struct {
		results []result
		want    string
	}{
		{[]result{one(ours, 85), one("udpcast", 50)}, "÷ bare ≥ 0.85: reached, 0.85; ÷ udpcast's > 1: reached, 1.70"},
		{[]result{one(ours, 84), one("udpcast", 84)}, "÷ bare ≥ 0.85: **missed**, 0.84; ÷ udpcast's > 1: **missed**, 1.00"},
		{[]result{one(ours, 90)}, "÷ bare ≥ 0.85: reached, 0.90; ÷ udpcast's > 1: not measured"},
		{nil, "÷ bare ≥ 0.85: not measured; ÷ udpcast's > 1: not measured"},
	} {
		good := table{}
		for _, r := range c.results {
			good[r.key] = r
		}
		if got := verdicts(wanted, ours, good); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if got := verdicts(wanted, bareLoop, good); got != "" {
			t.Errorf("of the bare loop is wanted: %s", got)
		}
		if got := verdicts(wanted, "UFTP", good); got != "goodput: not measured" {
			t.Errorf("of UFTP is told: %s", got)
		}
	}
}

func TestVerdictWithoutLimit(t *testing.T) {
	good := table{key{"row", ours}: {median: figures{rest: 0.0625}}}
	if got := verdicts([]figure{told(ours, "rest", of(rest, "row", ours))}, ours, good); got != "rest: 0.062" {
		t.Errorf("got %s", got)
	}
}

func TestRows(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rows(256 << 20) {
		if names[r.name] || r.clients < 1 || r.sizeBytes < 1 {
			t.Errorf("row %+v", r)
		}
		names[r.name] = true
	}
	// Every figure refers to what is measured: with all results there is one.
	all := table{}
	for _, r := range rows(256 << 20) {
		for _, name := range []string{bareLoop, ours, oursMXB1, oursFresh, oursBestRate, oursPacked, oursNever, "udpcast", udpcastLimited, "UFTP"} {
			if len(r.only) == 0 || slices.Contains(r.only, name) {
				k := key{r.name, name}
				all[k] = result{key: k, runs: make([]figures, max(1, r.worstOf))}
			}
		}
	}
	for _, r := range rows(256 << 20) {
		for _, f := range r.wanted {
			if _, _, ok := f.value(all); !ok {
				t.Errorf("%s: %s refers to what is not measured", r.name, f.text)
			}
			if _, there := all[key{r.name, f.system}]; !there {
				t.Errorf("%s: %s is wanted of %s, which is left out", r.name, f.text, f.system)
			}
		}
	}
}

func TestReceivedBytes(t *testing.T) {
	const head = "Inter-|   Receive  |  Transmit\n face |bytes    packets errs\n"
	for _, c := range []struct {
		dev  string
		want uint64
		ok   bool
	}{
		{head + "    lo:       0       0    0\n  eth0: 1234567      42    0\n", 1234567, true},
		{head + "  eth0:18446744073709551615 1\n    lo: 0\n", 1<<64 - 1, true},
		{head + "    lo: 0 0\n", 0, false},
		{head + "  eth0:", 0, false},
		{head + "  eth0: many", 0, false},
	} {
		got, err := receivedBytes([]byte(c.dev))
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%q: %d, %v", c.dev, got, err)
		}
	}
}
