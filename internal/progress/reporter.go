package progress

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"multiserver"
	"multiserver/internal/quote"
)

const (
	// lineInterval is between plain lines, recordInterval between objects, and
	// tableInterval between tables, which may be long.
	lineInterval   = 5 * time.Second
	recordInterval = time.Second
	tableInterval  = 30 * time.Second
)

// Options say who is to be told, and what.
type Options struct {
	Program string    // begins each line of text
	Stderr  io.Writer // lines, logs and the bar
	// Records takes objects, one a line, in the place of text; nil: text. A failure
	// is one line on Stderr all the same, unless Records is Stderr itself.
	Records io.Writer
	Quiet   bool // errors only
	// StartHint says how a server that waits for clients is told to begin at once.
	StartHint string
	Verbose   bool // logs down to slog.LevelDebug, and the table of clients again and again
}

// Reporter prints how one Client or Server gets on. Its methods but Logger are for
// one goroutine.
type Reporter struct {
	opts    Options
	now     func() time.Time
	stderr  *screen
	records *screen // nil: text
	log     *slog.Logger
	// barAllowed says that Stderr is a terminal, and progress is wanted as text.
	barAllowed bool

	subject  subject // nil until there is something to follow
	reported time.Time
	lastLine string
	// tabled is when lastTable was printed.
	tabled    time.Time
	lastTable []string
	// stop is closed by Stop, ended by the goroutine that follow starts.
	stop, ended chan struct{}
}

// subject is what a Reporter follows. sample reads its state; the other methods
// speak of the last sample.
type subject interface {
	sample() (news []string) // what happened since the sample before, a line each
	line() string
	bar() barText
	table() []string // a server's clients, none for a client
	summary() []string
	record(RecordHead) any
}

// New returns a Reporter that prints nothing but logs until it has somebody to follow.
func New(opts Options) *Reporter {
	r := &Reporter{opts: opts, now: time.Now, stderr: &screen{out: opts.Stderr}}
	level := slog.LevelInfo
	switch {
	case opts.Quiet:
		level = slog.LevelError
	case opts.Verbose:
		level = slog.LevelDebug
	}
	switch terminal := isTerminal(opts.Stderr); {
	case opts.Records == nil:
		r.barAllowed = terminal && !opts.Quiet
		r.log = textLogger(r.stderr, level, terminal, terminal && os.Getenv("NO_COLOR") == "")
	case opts.Records == opts.Stderr:
		r.records = r.stderr
		r.log = recordLogger(r.records, level)
	default:
		r.records = &screen{out: opts.Records}
		r.log = recordLogger(r.records, level)
	}
	return r
}

// Logger returns the log for a configuration; any goroutine may use it.
func (r *Reporter) Logger() *slog.Logger { return r.log }

// FollowClient begins to print what stats returns, until End.
func (r *Reporter) FollowClient(stats func() multiserver.ClientStats) {
	r.follow(&clientSubject{read: stats})
}

// FollowServer begins to print what stats returns, until End.
func (r *Reporter) FollowServer(stats func() multiserver.ServerStats) {
	r.follow(&serverSubject{read: stats, startHint: r.opts.StartHint})
}

func (r *Reporter) follow(s subject) {
	r.subject = s
	r.stop, r.ended = make(chan struct{}), make(chan struct{})
	// One signal may wait: two that come together ask for the same.
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go r.loop(asked)
}

func (r *Reporter) loop(asked chan os.Signal) {
	defer close(r.ended)
	defer signal.Ignore(syscall.SIGUSR1) // Stop would have a late one end the program
	tick := time.NewTicker(redrawInterval)
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-asked:
			now := r.now()
			r.step(now)
			if !r.reported.Equal(now) {
				r.report(now)
			}
			if !r.tabled.Equal(now) {
				r.reportTable(now)
			}
		case t := <-tick.C:
			r.step(t)
		}
	}
}

// step takes a sample and prints what is due. The first one comes a tick after the
// start, so that a failure at once is one line and nothing else.
func (r *Reporter) step(now time.Time) {
	news := r.subject.sample()
	if r.opts.Quiet {
		return
	}
	if r.barAllowed {
		r.stderr.showBar(r.subject.bar())
	}
	if r.records != nil {
		if len(news) > 0 || now.Sub(r.reported) >= recordInterval {
			r.report(now)
		}
		return
	}
	for _, n := range news {
		r.printLine(n)
	}
	if !r.barAllowed && now.Sub(r.reported) >= lineInterval && r.subject.line() != r.lastLine {
		r.report(now)
	}
	if r.opts.Verbose && now.Sub(r.tabled) >= tableInterval && !slices.Equal(r.subject.table(), r.lastTable) {
		r.reportTable(now)
	}
}

// report prints the last sample.
func (r *Reporter) report(now time.Time) {
	r.reported = now
	if r.records != nil {
		writeRecord(r.records, r.subject.record(RecordHead{Event: EventProgress, Time: now}))
		return
	}
	r.lastLine = r.subject.line()
	r.printLine(r.lastLine)
}

// reportTable prints the last sample's clients, which objects have anyway.
func (r *Reporter) reportTable(now time.Time) {
	if r.records != nil {
		return
	}
	r.tabled, r.lastTable = now, r.subject.table()
	for _, line := range r.lastTable {
		r.printLine(line)
	}
}

// Stop stops following and takes the bar away, for somebody else who prints to Stderr
// before End.
func (r *Reporter) Stop() {
	if r.stop == nil {
		return
	}
	close(r.stop)
	<-r.ended
	r.stop = nil
	r.stderr.closeBar()
}

// End stops following and prints the end: a summary if err is nil, else one line
// below the table of a server's clients.
// exit is the status that the program is about to end with.
func (r *Reporter) End(err error, exit int) {
	if r.subject != nil {
		r.Stop()
		news := r.subject.sample()
		if r.records == nil && !r.opts.Quiet {
			r.endFollowing(err, news)
		}
	}
	if r.records != nil {
		r.recordEnd(err, exit)
	}
	switch {
	case err != nil:
		if r.records != r.stderr {
			r.printLine(err.Error())
		}
	case r.records == nil && !r.opts.Quiet && r.subject != nil:
		for _, line := range r.subject.summary() {
			r.printLine(line)
		}
	}
}

// endFollowing prints what came after the last tick and, above a failure, the table.
// A failure before any client came stays alone.
func (r *Reporter) endFollowing(err error, news []string) {
	if err != nil && len(r.subject.table()) == 0 {
		return
	}
	for _, n := range news {
		r.printLine(n)
	}
	if err != nil {
		r.reportTable(r.now())
	}
}

func (r *Reporter) recordEnd(err error, exit int) {
	head := RecordHead{Event: EventDone, Time: r.now(), Exit: &exit}
	if err != nil {
		head.Event, head.Error = EventFailed, err.Error()
	}
	if r.subject == nil {
		writeRecord(r.records, head)
		return
	}
	writeRecord(r.records, r.subject.record(head))
}

func (r *Reporter) printLine(line string) {
	fmt.Fprintf(r.stderr, "%s: %s\n", r.opts.Program, quote.Line(line))
}
