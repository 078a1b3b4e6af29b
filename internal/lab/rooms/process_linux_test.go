package rooms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
)

// process is a program that runs in a host of a room.
type process struct {
	*lab.Cmd
	room  *room
	title string
	// stdout and stderr are what it printed so far.
	stdout, stderr transcript
	ended          chan struct{} // closed when it has ended and all that it printed is here
}

// transcript keeps what a program prints. The program's end of it is a Writer.
type transcript struct {
	mu   sync.Mutex
	text []byte
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	return len(p), nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// lines are the complete ones.
func (t *transcript) lines() []string {
	all := strings.SplitAfter(t.String(), "\n")
	return all[:len(all)-1]
}

// hasEnded reports whether the program has.
func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// signal sends a signal to a program that still runs.
func (p *process) signal(s syscall.Signal) {
	p.room.Helper()
	if err := p.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.room.Fatalf("%s: send %v: %v", p.title, s, err)
	}
}

// kill ends it as a power cut would, and returns when it is gone.
func (p *process) kill() {
	p.room.Helper()
	p.signal(syscall.SIGKILL)
	p.exit()
}

// exit waits for the end and returns the status, -1 after a signal.
func (p *process) exit() int {
	p.room.Helper()
	p.room.await(p.title+" ends", p.hasEnded)
	return p.ProcessState.ExitCode()
}

// exits checks the status.
func (p *process) exits(want int) {
	p.room.Helper()
	if got := p.exit(); got != want {
		p.room.Errorf("%s: exit status %d, want %d", p.title, got, want)
	}
}

// fails checks the status, and that standard error is one line that has all of
// the words.
func (p *process) fails(status int, words ...string) {
	p.room.Helper()
	p.exits(status)
	line := p.stderr.String()
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		p.room.Errorf("%s: a failure is one line on standard error, and this is %q", p.title, line)
	}
	for _, w := range words {
		if !strings.Contains(line, w) {
			p.room.Errorf("%s: %q does not say %q", p.title, line, w)
		}
	}
}

// records returns the objects of one kind that a program of ours printed under
// --json, to standard output or, with -o -, to standard error.
func records[T any](p *process, event progress.Event) []T {
	p.room.Helper()
	var found []T
	for _, out := range []*transcript{&p.stdout, &p.stderr} {
		for _, line := range out.lines() {
			var head progress.RecordHead
			if json.Unmarshal([]byte(line), &head) != nil || head.Event != event {
				continue
			}
			var record T
			d := json.NewDecoder(strings.NewReader(line))
			d.DisallowUnknownFields()
			if err := d.Decode(&record); err != nil {
				p.room.Fatalf("%s: %v in %s", p.title, err, line)
			}
			found = append(found, record)
		}
	}
	return found
}

// now asks a running program of ours for its state.
func now[T any](p *process) T {
	p.room.Helper()
	before := len(records[T](p, progress.EventProgress))
	var after []T
	p.signal(syscall.SIGUSR1)
	p.room.await(p.title+" tells its state", func() bool {
		after = records[T](p, progress.EventProgress)
		return len(after) > before || p.hasEnded()
	})
	if len(after) == 0 {
		p.room.Fatalf("%s: ended before it told anything", p.title)
	}
	return after[len(after)-1]
}

// last is the object that a program of ours ends with.
func last[T any](p *process, event progress.Event) T {
	p.room.Helper()
	p.exit()
	found := records[T](p, event)
	if len(found) != 1 {
		p.room.Fatalf("%s: %d objects tell of the end, want one", p.title, len(found))
	}
	return found[0]
}

// hasLogged reports whether a log object's message begins so.
func (p *process) hasLogged(message string) bool {
	for _, out := range []*transcript{&p.stdout, &p.stderr} {
		for _, line := range out.lines() {
			var record struct {
				Event progress.Event
				Msg   string
			}
			if json.Unmarshal([]byte(line), &record) == nil && record.Event == progress.EventLog && strings.HasPrefix(record.Msg, message) {
				return true
			}
		}
	}
	return false
}

// server is a multiserver.
type server struct{ *process }

// now asks it for its state.
func (s server) now() progress.ServerRecord {
	s.room.Helper()
	return now[progress.ServerRecord](s.process)
}

// stop ends it as Ctrl-C does and returns its last object.
func (s server) stop() progress.ServerRecord {
	s.room.Helper()
	s.signal(syscall.SIGINT)
	s.exits(128 + int(syscall.SIGINT))
	return last[progress.ServerRecord](s.process, progress.EventDone)
}

// outcomes are those of the clients of MXB 2 in a server's last object, sorted.
func outcomes(end progress.ServerRecord) []string {
	var all []string
	for _, each := range end.Receivers {
		all = append(all, each.Outcome)
	}
	slices.Sort(all)
	return all
}

// seen is how many clients of the room's protocol a server tells of.
func (r *room) seen(end progress.ServerRecord) int {
	if r.protocol == speaksMXB1 {
		return end.ClientsSeen
	}
	return end.ReceiversSeen
}

// client is a multiclient.
type client struct {
	*process
	out      string   // where it writes
	protocol protocol // with servers of ours
}

// now asks it for its state.
func (c client) now() progress.ClientRecord {
	c.room.Helper()
	return now[progress.ClientRecord](c.process)
}

// found waits until the client receives.
func (c client) found() {
	c.room.Helper()
	c.room.await(c.title+" finds a server", func() bool { return c.hasLogged("receiving ") || c.hasEnded() })
	if c.hasEnded() {
		c.room.Fatalf("%s: ended instead of receiving", c.title)
	}
}

// share is how much a client has of what the stream has to carry. With MXB 2 it is
// in blocks most of which are not complete.
func (r *room) share(now progress.ClientRecord) float64 {
	r.Helper()
	in := now.BytesDone
	if now.Protocol == string(speaksMXB2) {
		in = (now.PacketsReceived - now.Duplicates) * symbolBytes
	}
	return float64(in) / r.carried()
}

// reaches waits until a client has that share, and returns its state.
func (c client) reaches(share float64) progress.ClientRecord {
	c.room.Helper()
	c.found()
	for {
		r := c.now()
		if c.hasEnded() {
			c.room.Fatalf("%s: ended before %v of the image was in", c.title, share)
		}
		if c.room.share(r) >= share {
			return r
		}
		c.room.pause()
	}
}

// finishes waits for success, compares the output with the room's image, and
// returns the last object.
func (c client) finishes() progress.ClientRecord {
	c.room.Helper()
	return c.finishesWith(c.room.image)
}

// finishesWith is finishes for another image.
func (c client) finishesWith(image string) progress.ClientRecord {
	c.room.Helper()
	c.exits(0)
	if c.ProcessState.ExitCode() != 0 {
		c.room.FailNow()
	}
	c.room.same(image, c.out)
	r := last[progress.ClientRecord](c.process, progress.EventDone)
	if r.BytesDone != r.SizeBytes || r.Phase != "done" {
		c.room.Errorf("%s: done with %d of %d bytes in phase %q", c.title, r.BytesDone, r.SizeBytes, r.Phase)
	}
	want := c.protocol
	if at, _, _ := strings.Cut(r.Server, ":"); c.room.originals[at] {
		want = speaksMXB1
	}
	if r.Protocol != string(want) {
		c.room.Errorf("%s: spoke %q with %s, want %q", c.title, r.Protocol, r.Server, want)
	}
	return r
}

// differs waits for a failure of integrity: exit 4, with these words.
func (c client) differs(words ...string) {
	c.room.Helper()
	c.fails(exitIntegrity, words...)
	if done := records[progress.ClientRecord](c.process, progress.EventDone); len(done) > 0 {
		c.room.Errorf("%s: claims success: %+v", c.title, done)
	}
}

// report prints all that is known of a program, for a test that failed.
func (p *process) report() string {
	var b bytes.Buffer
	state := "runs"
	if p.hasEnded() {
		state = p.ProcessState.String()
	}
	fmt.Fprintf(&b, "%s %s: %s\n", p.title, strings.Join(p.Args[1:], " "), state)
	for _, out := range []*transcript{&p.stderr, &p.stdout} {
		lines := out.lines()
		const most = 12
		if len(lines) > most {
			lines = lines[len(lines)-most:]
		}
		for _, line := range lines {
			fmt.Fprintf(&b, "    %s", line)
		}
	}
	return b.String()
}

// Exit statuses of our programs.
const (
	exitFailure       = 1
	exitUsage         = 2
	exitTimeLimit     = 3
	exitIntegrity     = 4
	exitTargetRefused = 5
	exitTargetIO      = 6
	exitReceivers     = 7
)

// pollInterval is between two looks at what has no way to tell of itself.
const pollInterval = 2 * time.Millisecond
