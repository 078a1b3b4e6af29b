package progress

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"multiserver"

	"github.com/creack/pty"
)

// openTerminal returns both ends of a terminal of rows and columns.
func openTerminal(t *testing.T, rows, columns uint16) (screen, program *os.File) {
	t.Helper()
	screen, program, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	t.Cleanup(func() { program.Close(); screen.Close() })
	if err := pty.Setsize(program, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	return screen, program
}

// seen collects what a terminal shows until the program's end is closed; want
// returns once text has appeared.
type seen struct {
	screen *os.File
	all    bytes.Buffer
}

func (s *seen) want(t *testing.T, text string) {
	t.Helper()
	buf := make([]byte, 4096)
	for from := s.all.Len(); !strings.Contains(s.all.String()[from:], text); {
		n, err := s.screen.Read(buf)
		if err != nil {
			t.Fatalf("%q never appeared (%v) in %q", text, err, s.all.String())
		}
		s.all.Write(buf[:n])
	}
}

func TestBarOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	for _, columns := range []uint16{100, 9} {
		screen, program := openTerminal(t, 24, columns)
		states := make(chan multiserver.ClientStats, 1)
		now := finding
		r := New(Options{Program: "multiclient", Stderr: program})
		r.FollowClient(func() multiserver.ClientStats {
			select {
			case now = <-states:
			default:
			}
			return now
		})
		s := seen{screen: screen}
		s.want(t, "looking"[:min(7, int(columns)-2)])
		states <- with(receiving, func(c *multiserver.ClientStats) { c.WaitingFor = "no block" })
		s.want(t, "13.6%")
		s.want(t, "no block")
		r.Logger().Warn("a warning", "n", 1)
		s.want(t, "WRN a warning n=1\r\n")
		states <- done
		s.want(t, "100.0%")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.End(nil, 0)
			io.WriteString(program, "next prompt")
		}()
		s.want(t, "next prompt")
		<-ended
		out := s.all.String()
		if columns == 100 && !strings.Contains(out, "13.6% [=======>----") {
			t.Errorf("no bar in %q", out)
		}
		// The bar is erased before the summary, which is the last thing there.
		_, after, _ := strings.Cut(out, "a warning")
		last := after[strings.LastIndex(after, "\x1b["):]
		if want := "\x1b[Jmulticlient: debian.img is on /dev/sda"; !strings.HasPrefix(last, want) || strings.Contains(last, "%") {
			t.Errorf("%d columns end with %q", columns, last)
		}
	}
}

// A log line that is written while the bar is up stands on a line of its own.
func TestLogsAboveTheBar(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	screen, program := openTerminal(t, 24, 80)
	r := New(Options{Program: "multiclient", Stderr: program})
	r.FollowClient(func() multiserver.ClientStats { return receiving })
	s := seen{screen: screen}
	for range 3 {
		r.Logger().Info("one")
		s.want(t, "INF one\r\n")
	}
	ended := make(chan struct{})
	go func() { defer close(ended); r.End(io.ErrUnexpectedEOF, 1) }()
	s.want(t, "multiclient: unexpected EOF\r\n")
	<-ended
	for line := range strings.SplitSeq(s.all.String(), "\n") {
		if strings.Contains(line, "INF one") && strings.Contains(line, "%") {
			t.Errorf("the bar and a log share a line: %q", line)
		}
	}
}

func TestWhatIsNoTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	_, sized := openTerminal(t, 24, 80)
	_, console := openTerminal(t, 0, 0)
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		name string
		w    io.Writer
		want bool
	}{
		{"a terminal", sized, true},
		{"a serial console that does not know its size", console, false},
		{"a file", file, false},
		{"a buffer", new(bytes.Buffer), false},
	} {
		if got := isTerminal(c.w); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	t.Setenv("TERM", "dumb")
	if isTerminal(sized) {
		t.Error("a dumb terminal gets a bar")
	}
}

// The terminal may be gone before the program ends, with a closed laptop.
func TestTerminalGoesAway(t *testing.T) {
	t.Setenv("TERM", "xterm")
	screen, program := openTerminal(t, 24, 80)
	r := New(Options{Program: "multiclient", Stderr: program})
	r.FollowClient(func() multiserver.ClientStats { return receiving })
	s := seen{screen: screen}
	s.want(t, "13.6%")
	screen.Close()
	for range 5 {
		r.Logger().Info("nobody reads this")
	}
	r.End(nil, 0)
}
