package progress

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"multiserver"

	"github.com/google/go-cmp/cmp"
)

// play steps a Reporter of a client through states, one each at seconds 0, 1, …,
// as its goroutine would, and ends it.
func play(opts Options, err error, exit int, states ...multiserver.ClientStats) {
	now := noon
	r := New(opts)
	r.now = func() time.Time { return now }
	var stats multiserver.ClientStats
	r.subject = &clientSubject{read: func() multiserver.ClientStats { return stats }}
	r.stop, r.ended = make(chan struct{}), make(chan struct{})
	close(r.ended)
	for i, s := range states {
		stats, now = s, noon.Add(time.Duration(i)*time.Second)
		r.step(now)
	}
	r.End(err, exit)
}

// seven seconds of a run
func run() []multiserver.ClientStats {
	states := []multiserver.ClientStats{with(finding, func(s *multiserver.ClientStats) { s.Elapsed = 0 })}
	for i := range 6 {
		states = append(states, with(receiving, func(s *multiserver.ClientStats) {
			s.Elapsed = time.Duration(i+1) * time.Second
			s.BytesDone = uint64(i) * 100_000_000
		}))
	}
	return append(states, done)
}

func TestPlainLines(t *testing.T) {
	const begin = `multiclient: looking for a server on eth0, wlan0, 0:00
multiclient: 9.3%, 400 MB of 4.3 GB, 0:05, 100.0 MB/s, ETA 0:39
`
	for _, c := range []struct {
		name  string
		quiet bool
		err   error
		want  string
	}{
		{"success", false, nil, begin +
			"multiclient: debian.img is on /dev/sda: 4294967296 bytes (4.3 GB, 4.0 GiB) in 36.6 s, 117.3 MB/s; 38.1 s in all, nothing asked again\n"},
		{"failure is one line", false, errors.New("write /dev/sda: input/output error\nclose /dev/sda: input/output error"),
			begin + "multiclient: write /dev/sda: input/output error; close /dev/sda: input/output error\n"},
		{"quiet success", true, nil, ""},
		{"quiet failure", true, errors.New("no server"), "multiclient: no server\n"},
	} {
		var out bytes.Buffer
		play(Options{Program: "multiclient", Stderr: &out, Quiet: c.quiet}, c.err, 1, run()...)
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// A server that nobody asks for days must not fill a log.
func TestPlainLinesSayNothingTwice(t *testing.T) {
	var out bytes.Buffer
	r := New(Options{Program: "multiserver", Stderr: &out})
	r.subject = &serverSubject{read: func() multiserver.ServerStats { return serving }}
	for i := range 100 {
		r.step(noon.Add(time.Duration(i) * time.Second))
	}
	want := "multiserver: no client has asked yet\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The table of a server's clients is printed at a failure, each half minute to whoever
// wants more, if it says something new, and not to those who want less.
func TestTables(t *testing.T) {
	const (
		start = "multiserver: pc07 (10.0.0.7) joins\nmultiserver: 1 receiving, 0 B sent, 0.00 x the image, 0.0 MB/s\n"
		table = "multiserver: client  address         outcome    has   lost  dropped  limit  reason\n" +
			"multiserver: pc07    10.0.0.7:40000  receiving  0.0%  -     0        -\n"
		failure = "multiserver: 1 of 1 clients did not get the image\n"
	)
	for _, c := range []struct {
		name string
		opts Options
		want string
	}{
		{"plain", Options{}, start + table + failure},
		{"verbose", Options{Verbose: true}, start + table + table + failure}, // at 0 s and at the end
		{"quiet", Options{Quiet: true}, failure},
		{"objects", Options{Verbose: true, Records: io.Discard}, failure},
	} {
		var out bytes.Buffer
		c.opts.Program, c.opts.Stderr = "multiserver", &out
		r := New(c.opts)
		r.subject = &serverSubject{read: func() multiserver.ServerStats {
			return with(serving, func(s *multiserver.ServerStats) {
				s.Receivers = []multiserver.Receiver{member("pc07", "10.0.0.7:40000")}
			})
		}}
		r.stop, r.ended = make(chan struct{}), make(chan struct{})
		close(r.ended)
		for i := range 100 {
			r.step(noon.Add(time.Duration(i) * time.Second))
		}
		r.End(errors.New("1 of 1 clients did not get the image"), 7)
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// A session may be shorter than a tick; a failure before it began is one line.
func TestEndTellsOfTheLastTick(t *testing.T) {
	joined := with(serving, func(s *multiserver.ServerStats) {
		s.Interfaces = []string{"eth0"}
		s.Receivers = []multiserver.Receiver{gone("pc07", "10.0.0.7:40000", multiserver.OutcomeFailed, "no space")}
	})
	const story = `multiserver: the stream goes out on eth0
multiserver: pc07 (10.0.0.7) joins
multiserver: pc07 (10.0.0.7) failed: no space
`
	const table = `multiserver: client  address         outcome  has    lost   dropped  limit  reason
multiserver: pc07    10.0.0.7:40000  failed   50.0%  1.00%  5        disk   no space
`
	for _, c := range []struct {
		name  string
		stats multiserver.ServerStats
		err   error
		want  string
	}{
		{"success", joined, nil, story +
			"multiserver: served debian.img for 0:00: sent 0 bytes (0 B, 0 B), 0.00 x the image, to 1 client: 1 failed\n" + table},
		{"failure", joined, errors.New("image changed"), story + table + "multiserver: image changed\n"},
		{"failure at once", with(serving, func(s *multiserver.ServerStats) { s.Interfaces = []string{"eth0"} }),
			errors.New("port in use"), "multiserver: port in use\n"},
	} {
		var out bytes.Buffer
		r := New(Options{Program: "multiserver", Stderr: &out})
		r.subject = &serverSubject{read: func() multiserver.ServerStats { return c.stats }}
		r.stop, r.ended = make(chan struct{}), make(chan struct{})
		close(r.ended)
		r.End(c.err, 1)
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// Verbose tells of changes, each half minute at most.
func TestTableInterval(t *testing.T) {
	var out bytes.Buffer
	var stats multiserver.ServerStats
	r := New(Options{Program: "multiserver", Stderr: &out, Verbose: true})
	r.subject = &serverSubject{read: func() multiserver.ServerStats { return stats }}
	for i := range 100 {
		stats = with(serving, func(s *multiserver.ServerStats) {
			s.SizeBytes = 100
			s.Receivers = []multiserver.Receiver{with(member("pc07", "10.0.0.7:40000"), func(r *multiserver.Receiver) {
				r.BytesDone = uint64(i)
			})}
		})
		r.step(noon.Add(time.Duration(i) * time.Second))
	}
	var shares []string
	for line := range strings.Lines(out.String()) {
		if f := strings.Fields(line); f[1] == "pc07" && f[3] == "receiving" {
			shares = append(shares, f[4])
		}
	}
	if diff := cmp.Diff([]string{"0.0%", "30.0%", "60.0%", "90.0%"}, shares); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRecords(t *testing.T) {
	var out, errs bytes.Buffer
	half := with(receiving, func(s *multiserver.ClientStats) {
		s.BytesDone, s.AskedAgainBytes, s.WaitingFor = 2<<30, 7, "no block <3s>"
		s.PacketsReceived, s.Duplicates, s.Strangers, s.BadPackets, s.SocketDrops, s.MemoryDrops = 1, 2, 3, 4, 5, 6
	})
	play(Options{Program: "multiclient", Stderr: &errs, Records: &out}, errors.New("no blocks"), 3, finding, half)
	want := `{"event":"progress","time":"2026-11-23T12:00:00Z","phase":"finding","name":"","output":"/dev/sda","server":"","protocol":"","interface":"eth0, wlan0","size_bytes":0,"bytes_done":0,"bytes_kept":0,"bytes_verified":0,"verified":false,"bytes_per_second":0,"eta_seconds":null,"elapsed_seconds":15,"streaming_seconds":0,"altered_bytes":0,"cut_bytes":0,"discarded":false,"asked_again_bytes":0,"packets_received":0,"duplicates":0,"strangers":0,"bad_packets":0,"socket_drops":0,"memory_drops":0}
{"event":"progress","time":"2026-11-23T12:00:01Z","phase":"receiving","name":"debian.img","output":"/dev/sda","server":"10.0.0.1:7500","protocol":"mxb1","interface":"eth0","size_bytes":4294967296,"bytes_done":2147483648,"bytes_kept":0,"bytes_verified":0,"verified":false,"bytes_per_second":0,"eta_seconds":null,"elapsed_seconds":6,"streaming_seconds":5,"altered_bytes":0,"cut_bytes":0,"discarded":false,"asked_again_bytes":7,"packets_received":1,"duplicates":2,"strangers":3,"bad_packets":4,"socket_drops":5,"memory_drops":6,"waiting_for":"no block <3s>"}
{"event":"failed","time":"2026-11-23T12:00:01Z","error":"no blocks","exit":3,"phase":"receiving","name":"debian.img","output":"/dev/sda","server":"10.0.0.1:7500","protocol":"mxb1","interface":"eth0","size_bytes":4294967296,"bytes_done":2147483648,"bytes_kept":0,"bytes_verified":0,"verified":false,"bytes_per_second":429496729,"eta_seconds":null,"elapsed_seconds":6,"streaming_seconds":5,"altered_bytes":0,"cut_bytes":0,"discarded":false,"asked_again_bytes":7,"packets_received":1,"duplicates":2,"strangers":3,"bad_packets":4,"socket_drops":5,"memory_drops":6,"waiting_for":"no block <3s>"}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if want := "multiclient: no blocks\n"; errs.String() != want {
		t.Errorf("stderr has %q, want %q", errs.String(), want)
	}
}

func TestServerRecord(t *testing.T) {
	v := server{with(serving, func(s *multiserver.ServerStats) {
		s.Interfaces, s.SendMethod, s.Elapsed = []string{"eth0"}, "gso", 1234567*time.Microsecond
		s.ImageBytesSent, s.WireBytesSent, s.PacketsSent, s.ImageBytesPending = 6<<30, 7<<30, 8, 1_000_000_000
		s.Requests, s.BadPackets = 9, 10
		s.Clients = []multiserver.ServedClient{visit("10.0.0.2:40000", noon, noon.Add(time.Second), 9, 11)}
		s.Receivers = []multiserver.Receiver{gone("pc08", "10.0.0.8:40000", multiserver.OutcomeFailed, "no \x1b space")}
	}), 100e6, ""}
	const failedRecord = `"receivers":[{"name":"pc08","addr":"10.0.0.8:40000","outcome":"failed","reason":"no \u001b space","first_seen":"2026-11-23T12:00:00Z","last_seen":"2026-11-23T12:00:09Z","bytes_done":2147483648,"packets_received":985,"packets_lost":10,"socket_drops":5,"limit":"disk"}]`
	zero := 0
	for _, c := range []struct {
		head RecordHead
		want string
	}{
		{RecordHead{Event: EventProgress, Time: noon}, `{"event":"progress","time":"2026-11-23T12:00:00Z","name":"debian.img","size_bytes":4294967296,"group":"225.0.20.10:16000","control":"0.0.0.0:7500","interface":"eth0","elapsed_seconds":1.235,"image_bytes_sent":6442450944,"image_ratio":1.5,"wire_bytes_sent":7516192768,"packets_sent":8,"bytes_per_second":100000000,"rate_limit":0,"rate_reason":"","waiting":false,"image_bytes_owed":1000000000,"eta_seconds":10,"requests":9,"bad_packets":10,"send_method":"gso","clients_seen":1,"receivers_seen":1,"receivers_receiving":0,"receivers_done":0,"receivers_refused":0,"receivers_failed":1,` + failedRecord + `}`},
		{RecordHead{Event: EventDone, Time: noon, Exit: &zero}, `{"event":"done","time":"2026-11-23T12:00:00Z","exit":0,"name":"debian.img","size_bytes":4294967296,"group":"225.0.20.10:16000","control":"0.0.0.0:7500","interface":"eth0","elapsed_seconds":1.235,"image_bytes_sent":6442450944,"image_ratio":1.5,"wire_bytes_sent":7516192768,"packets_sent":8,"bytes_per_second":100000000,"rate_limit":0,"rate_reason":"","waiting":false,"image_bytes_owed":1000000000,"eta_seconds":null,"requests":9,"bad_packets":10,"send_method":"gso","clients_seen":1,"clients":[{"addr":"10.0.0.2:40000","first_seen":"2026-11-23T12:00:00Z","last_seen":"2026-11-23T12:00:01Z","requests":9,"asked_bytes":11}],"receivers_seen":1,"receivers_receiving":0,"receivers_done":0,"receivers_refused":0,"receivers_failed":1,` + failedRecord + `}`},
	} {
		var out bytes.Buffer
		writeRecord(&out, v.record(c.head))
		if diff := cmp.Diff(c.want+"\n", out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.head.Event, diff)
		}
	}
}

// An object that comes each second lists no more than 64 clients; the last one all.
func TestServerRecordOfMany(t *testing.T) {
	for _, c := range []struct {
		event        Event
		n, wantLists int
	}{
		{EventProgress, 64, 64},
		{EventProgress, 65, 0},
		{EventDone, 65, 65},
		{EventFailed, 65, 65},
	} {
		v := server{ServerStats: with(serving, func(s *multiserver.ServerStats) {
			s.Receivers = make([]multiserver.Receiver, c.n)
			s.Receivers[0].Outcome = multiserver.OutcomeDone
			s.Receivers[1].Outcome = multiserver.OutcomeInterrupted
			s.Receivers[2].Outcome = multiserver.OutcomeLost
		})}
		r := v.record(RecordHead{Event: c.event})
		if got := [...]int{len(r.Receivers), r.ReceiversSeen, r.ReceiversReceiving, r.ReceiversDone, r.ReceiversFailed}; got != [...]int{c.wantLists, c.n, c.n - 3, 1, 2} {
			t.Errorf("%s with %d clients: %v", c.event, c.n, got)
		}
	}
}

// With the image on stdout both kinds of text would share stderr: then there is no
// line beside the object.
func TestRecordsOnStderr(t *testing.T) {
	var out bytes.Buffer
	play(Options{Program: "multiclient", Stderr: &out, Records: &out, Quiet: true}, errors.New("no\tblocks"), 3, finding)
	var got RecordHead
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("not one object: %v: %q", err, out.String())
	}
	if got.Event != EventFailed || got.Error != "no\tblocks" || *got.Exit != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestEndWithNothingToFollow(t *testing.T) {
	var out, errs bytes.Buffer
	r := New(Options{Program: "multiserver", Stderr: &errs, Records: &out})
	r.now = func() time.Time { return noon }
	r.End(errors.New("open x: no such file"), 1)
	if want := `{"event":"failed","time":"2026-11-23T12:00:00Z","error":"open x: no such file","exit":1}` + "\n"; out.String() != want {
		t.Errorf("got %s, want %s", out.String(), want)
	}
	if want := "multiserver: open x: no such file\n"; errs.String() != want {
		t.Errorf("stderr has %q, want %q", errs.String(), want)
	}
}

// The goroutine itself: it follows, answers SIGUSR1 even when quiet, and ends.
func TestFollowAnswersSIGUSR1(t *testing.T) {
	out := make(lineChannel, 100)
	r := New(Options{Program: "multiclient", Stderr: out, Quiet: true})
	r.FollowClient(func() multiserver.ClientStats { return done })
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if got := <-out; got != "multiclient: done\n" {
		t.Errorf("got %q", got)
	}
	r.End(nil, 0)
	if len(out) != 0 {
		t.Errorf("quiet, and yet: %q", <-out)
	}
}

func TestFollowAnswersSIGUSR1WithTheClients(t *testing.T) {
	out := make(lineChannel, 100)
	r := New(Options{Program: "multiserver", Stderr: out, Quiet: true})
	stats := with(serving, func(s *multiserver.ServerStats) {
		s.Receivers = []multiserver.Receiver{gone("pc07", "10.0.0.7:40000", multiserver.OutcomeDone, "")}
	})
	r.FollowServer(func() multiserver.ServerStats { return stats })
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"multiserver: 1 done, 0 B sent, 0.00 x the image, 0.0 MB/s\n",
		"multiserver: client  address         outcome  has    lost   dropped  limit  reason\n",
		"multiserver: pc07    10.0.0.7:40000  done     50.0%  1.00%  5        disk\n",
	} {
		if got := <-out; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	r.End(nil, 0)
}

type lineChannel chan string

func (c lineChannel) Write(b []byte) (int, error) {
	c <- string(b)
	return len(b), nil
}

func TestLogs(t *testing.T) {
	record := slog.NewRecord(noon, slog.LevelWarn, "receive buffer is small", 0)
	record.AddAttrs(slog.Int("bytes", 212992))
	var text, terminal, object bytes.Buffer
	for _, log := range []*slog.Logger{
		textLogger(&text, slog.LevelInfo, false, false),
		textLogger(&terminal, slog.LevelInfo, true, true),
		recordLogger(&object, slog.LevelInfo),
	} {
		if err := log.Handler().Handle(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	if want := "2026-11-23T12:00:00Z WRN receive buffer is small bytes=212992\n"; text.String() != want {
		t.Errorf("text %q, want %q", text.String(), want)
	}
	if got := terminal.String(); !strings.HasPrefix(got, "\x1b[") || !strings.Contains(got, "12:00:00") {
		t.Errorf("no color or no time on a terminal: %q", got)
	}
	if want := `{"time":"2026-11-23T12:00:00Z","level":"warn","msg":"receive buffer is small","event":"log","bytes":212992}` + "\n"; object.String() != want {
		t.Errorf("object %s, want %s", object.String(), want)
	}
}

func TestLogLevels(t *testing.T) {
	for _, c := range []struct {
		opts Options
		want slog.Level
	}{
		{Options{}, slog.LevelInfo},
		{Options{Quiet: true}, slog.LevelError},
		{Options{Verbose: true}, slog.LevelDebug},
	} {
		for _, records := range []bool{false, true} {
			c.opts.Stderr = new(bytes.Buffer)
			if records {
				c.opts.Records = new(bytes.Buffer)
			}
			h := New(c.opts).Logger().Handler()
			if !h.Enabled(t.Context(), c.want) || h.Enabled(t.Context(), c.want-1) {
				t.Errorf("%+v: the least level is not %v", c.opts, c.want)
			}
		}
	}
}
