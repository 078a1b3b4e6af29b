package progress

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"
)

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{sizeText(0), "0 B"},
		{sizeText(4 << 30), "4.3 GB"},
		{exactSizeText(4 << 30), "4294967296 bytes (4.3 GB, 4.0 GiB)"},
		{rateText(117.44e6), "117.4 MB/s"},
		{rateText(0), "0.0 MB/s"},
		{rateText(meanRate(100, 0)), "0.0 MB/s"},
		{shareText(0, 0), "-"},
		{shareText(0, 10), "0.0%"},
		{shareText(9999, 10000), "99.9%"}, // never 100.0% before the end
		{shareText(10, 10), "100.0%"},
		{etaText(100, 0), "ETA -"},
		{etaText(0, 0), "ETA 0:00"},
		{etaText(1e9, 100e6), "ETA 0:10"},
		{etaText(math.MaxUint64, 1), "ETA -"},
		{clockText(59*time.Minute + 59*time.Second), "59:59"},
		{clockText(time.Hour + 2*time.Minute + 3*time.Second), "1:02:03"},
		{countText(1, "client"), "1 client"},
		{countText(0, "client"), "0 clients"},
		{printable("a\x1b[2Jb\rc\u202e"), "a?[2Jb?c?"},
		{printable("sync: failed\nclose: failed\n"), "sync: failed; close: failed"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestPrintableIsOneHarmlessLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range printable(rapid.String().Draw(t, "text")) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%U came through", r)
			}
		}
	})
}

func TestAverage(t *testing.T) {
	type step struct {
		at    time.Duration
		bytes uint64
		want  float64
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"the wait for the first byte does not count", []step{
			{0, 0, 0}, {10 * time.Second, 0, 0}, {11 * time.Second, 100, 100},
		}},
		{"only the window counts", []step{
			{0, 0, 0}, {5 * time.Second, 500, 100}, {10 * time.Second, 1500, 200},
		}},
		{"a stall is zero after the window", []step{
			{0, 0, 0}, {time.Second, 100, 100}, {2 * time.Second, 100, 50}, {8 * time.Second, 100, 0},
		}},
		{"the same moment changes nothing", []step{
			{0, 0, 0}, {time.Second, 100, 100}, {time.Second, 100, 100},
		}},
		{"a count that begins anew", []step{
			{0, 0, 0}, {time.Second, 100, 100}, {2 * time.Second, 10, 0}, {3 * time.Second, 30, 20},
		}},
	} {
		var a average
		for _, s := range c.steps {
			if got := a.add(s.at, s.bytes); got != s.want {
				t.Errorf("%s: at %v: %v bytes/s, want %v", c.name, s.at, got, s.want)
			}
		}
	}
}

func TestAverageIsBounded(t *testing.T) {
	var a average
	for i := range 10000 {
		a.add(time.Duration(i)*redrawInterval, uint64(i))
	}
	if most := int(rateWindow/redrawInterval) + 1; len(a.samples) > most {
		t.Errorf("%d samples kept, want at most %d", len(a.samples), most)
	}
}

func TestBarFields(t *testing.T) {
	b := receivingBar()
	for _, c := range []struct {
		columns int
		want    string
	}{
		{80, "  117.4 MB/s  ETA 0:32  587 MB of 4.3 GB  asked again 1.2 MB"},
		{60, "  117.4 MB/s  ETA 0:32  587 MB of 4.3 GB"},
		{35, "  117.4 MB/s  ETA 0:32"},
		{30, "  117.4 MB/s"},
		{0, "  117.4 MB/s"}, // mpb cuts it
	} {
		if got := b.right(c.columns); got != c.want {
			t.Errorf("%d columns: %q, want %q", c.columns, got, c.want)
		}
	}
	if got := b.left(); got != "13.6% " {
		t.Errorf("left of the bar: %q", got)
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"", 10, ""},
		{"one two three", 80, "one two three\n"},
		{"one two three", 7, "one two\nthree\n"},
		{"one two three", 6, "one\ntwo\nthree\n"},
		{"extraordinary", 4, "extraordinary\n"},
	} {
		if got := wrap(c.text, c.columns); got != c.want {
			t.Errorf("%q in %d columns: %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}

func TestWrapKeepsTheWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		got := wrap(text, rapid.IntRange(0, 100).Draw(t, "columns"))
		if a, b := strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(text), " "); a != b {
			t.Fatalf("words %q became %q", b, a)
		}
	})
}
