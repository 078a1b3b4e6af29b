package progress

import (
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

const (
	// redrawInterval is four times a second: smooth enough, and no load on a
	// serial console.
	redrawInterval = 250 * time.Millisecond
	// minBarColumns is what the fields leave to the bar itself, brackets included.
	minBarColumns = 12
)

// barText is what a bar says at one moment.
type barText struct {
	done, total uint64   // bytes; a total of 0 is not known, and then there is no bar beside the text
	share       string   // left of the bar
	fields      []string // right of it, the most important first: a narrow terminal gets fewer
	hint        string   // on lines of its own
}

// screen is a writer of whole lines that may have a bar below them. Any goroutine
// may use it; a line is never torn.
type screen struct {
	mu   sync.Mutex
	out  io.Writer
	bars *mpb.Progress // nil while no bar is up
	bar  *mpb.Bar
	// shown is what mpb's goroutines draw; they never take mu.
	shown atomic.Pointer[barText]
}

// isTerminal reports whether a bar can be drawn on w. A serial console that does not
// know its size gets plain lines: mpb would draw nothing there.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	return err == nil && width > 0 && height > 0
}

// Write prints lines, above the bar if there is one.
func (s *screen) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars != nil {
		if n, err := s.bars.Write(lines); err == nil {
			return n, nil
		}
		// The terminal went away below mpb: what matters is the line.
	}
	return s.out.Write(lines)
}

// showBar puts a bar up, or changes what it says. s.out must be a terminal.
func (s *screen) showBar(b barText) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown.Store(&b)
	if s.bars == nil {
		s.openBar()
	}
	s.bar.SetTotal(int64(b.total), false)
	s.bar.SetCurrent(int64(b.done))
}

func (s *screen) openBar() {
	s.bars = mpb.New(mpb.WithOutput(s.out), mpb.WithRefreshRate(redrawInterval))
	s.bar = s.bars.New(0, mpb.BarStyle(),
		mpb.BarFillerTrim(),
		mpb.BarFillerMiddleware(onlyWithTotal),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return s.shown.Load().left() })),
		mpb.AppendDecorators(decor.Any(func(st decor.Statistics) string { return s.shown.Load().right(st.AvailableWidth) })),
		mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
			_, err := io.WriteString(w, wrap(s.shown.Load().hint, st.AvailableWidth))
			return err
		}), false),
	)
}

func onlyWithTotal(bar mpb.BarFiller) mpb.BarFiller {
	return mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
		if st.Total == 0 {
			return nil
		}
		return bar.Fill(w, st)
	})
}

// closeBar takes the bar away and leaves the cursor where it was.
func (s *screen) closeBar() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars == nil {
		return
	}
	s.bar.Abort(true)
	s.bars.Wait()
	s.bars = nil
}

func (b barText) left() string {
	if b.share == "" {
		return ""
	}
	return b.share + " "
}

// right gives as many fields as fit into columns beside the bar, and at least one.
func (b barText) right(columns int) string {
	if b.total > 0 {
		columns -= minBarColumns
	}
	text := ""
	for i, field := range b.fields {
		next := text
		if i > 0 || b.total > 0 {
			next += "  "
		}
		next += field
		if i > 0 && utf8.RuneCountInString(next) > columns {
			break
		}
		text = next
	}
	return text
}

// wrap breaks text between words into lines of at most columns, each with its
// newline; a longer word stands alone.
func wrap(text string, columns int) string {
	var out strings.Builder
	used := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case used == 0:
		case used+1+n <= columns:
			out.WriteByte(' ')
			used++
		default:
			out.WriteByte('\n')
			used = 0
		}
		out.WriteString(word)
		used += n
	}
	if used > 0 {
		out.WriteByte('\n')
	}
	return out.String()
}
