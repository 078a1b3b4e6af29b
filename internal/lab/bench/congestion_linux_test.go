package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"multiserver/internal/lab"
)

// child is a process that lasts for the test.
func child(t *testing.T, program string, arguments ...string) (process *os.Process, ended <-chan struct{}) {
	t.Helper()
	c := exec.Command(program, arguments...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Wait() // killed
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-done
	})
	return c.Process, done
}

// stateOf is a process's in /proc/PID/stat: T if it is stopped.
func stateOf(t *testing.T, p *os.Process) string {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.Pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:1]
}

func TestDuty(t *testing.T) {
	lab.NewTest(t, lab.Config{Hosts: 1}) // /proc shows the tests' own processes
	p, ended := child(t, "sleep", "600")
	release := make(chan struct{})
	type outcome struct {
		share float64
		err   error
	}
	result := make(chan outcome, 1)
	go func() {
		share, err := duty{20 * time.Millisecond, 40 * time.Millisecond}.keep(p, ended, release)
		result <- outcome{share, err}
	}()
	for stateOf(t, p) != "T" {
		time.Sleep(time.Millisecond)
	}
	for stateOf(t, p) == "T" {
		time.Sleep(time.Millisecond)
	}
	close(release)
	if r := <-result; r.err != nil || r.share <= 0 || r.share >= 1 {
		t.Errorf("%+v", r)
	}
	for stateOf(t, p) == "T" { // a signal takes a moment
		time.Sleep(time.Millisecond)
	}

	result = make(chan outcome, 1)
	go func() {
		share, err := duty{time.Millisecond, 10 * time.Minute}.keep(p, ended, make(chan struct{}))
		result <- outcome{share, err}
	}()
	for stateOf(t, p) != "T" {
		time.Sleep(time.Millisecond)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if r := <-result; r.err != nil { // it returns although its period is not over
		t.Errorf("%+v", r)
	}
}

func TestCPUControllers(t *testing.T) {
	for _, c := range []struct {
		own, controllers, path string
		v1                     bool
	}{
		{"9:name=systemd:/\n2:cpuacct:/\n1:cpu:/\n0::/\n", "cpu", "/", true},
		{"4:cpu,cpuacct:/user.slice/a:b\n0::/user.slice\n", "cpu,cpuacct", "/user.slice/a:b", true},
		{"3:cpuset:/\n2:cpuacct:/\n0::/init.scope\n", "", "", false},
		{"0::/\n", "", "", false},
		{"", "", "", false},
	} {
		if controllers, path, v1 := cpuControllers(c.own); controllers != c.controllers || path != c.path || v1 != c.v1 {
			t.Errorf("%q: %q, %q, %v", c.own, controllers, path, v1)
		}
	}
}

func TestCPUSettings(t *testing.T) {
	if got := cpuSettings(0.1, false); !slices.Equal(got, []cpuSetting{{"cpu.max", "10000 100000"}}) {
		t.Errorf("%+v", got)
	}
	if got := cpuSettings(0.1, true); !slices.Equal(got, []cpuSetting{{"cpu.cfs_period_us", "100000"}, {"cpu.cfs_quota_us", "10000"}}) {
		t.Errorf("%+v", got)
	}
}

func TestCPUGroup(t *testing.T) {
	lab.NewTest(t, lab.Config{Hosts: 1}) // skips where there is none
	if missing := cpuGroupMissing(); missing != "" {
		t.Skip("needs root and a cpu controller:", missing)
	}
	g, err := newCPUGroup(0.25)
	if err != nil {
		t.Fatal(err)
	}
	h, err := openCPUHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range cpuSettings(0.25, h.v1) {
		if got, err := os.ReadFile(filepath.Join(g.folder, s.file)); err != nil || strings.TrimSpace(string(got)) != s.value {
			t.Errorf("%s holds %q, %v, want %q", s.file, got, err, s.value)
		}
	}
	p, ended := child(t, "sh", "-c", "while :; do :; done")
	if err := g.add(p); err != nil {
		t.Fatal(err)
	}
	if members, err := os.ReadFile(filepath.Join(g.folder, "cgroup.procs")); err != nil || strings.TrimSpace(string(members)) != strconv.Itoa(p.Pid) {
		t.Errorf("the group has %q, %v, want %d", members, err, p.Pid)
	}
	for n := 0; n == 0; time.Sleep(time.Millisecond) {
		if n, err = g.throttledPeriods(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := g.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.folder); !os.IsNotExist(err) {
		t.Errorf("it is left behind: %v", err)
	}
}

func TestCoreShareRow(t *testing.T) {
	lab.NewTest(t, lab.Config{Hosts: 1})
	if missing := cpuGroupMissing(); missing != "" {
		t.Skip("needs root and a cpu controller:", missing)
	}
	f, err := measureOurs(t, func(r *row) { r.coreShares = []float64{0, 0.1} })
	if err != nil {
		t.Fatal(err)
	}
	if f.throttledPeriods < 1 {
		t.Errorf("%+v: the last client was never held", f)
	}
	h, err := openCPUHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(h.path, "multiserver-bench-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDutyRow(t *testing.T) {
	const pause = 950 * time.Millisecond
	f, err := measureOurs(t, func(r *row) {
		r.sizeBytes = 1 << 20
		r.duty = &duty{50 * time.Millisecond, 50*time.Millisecond + pause}
	})
	if err != nil {
		t.Fatal(err)
	}
	// The search for servers alone takes longer than they run at first.
	if f.wallSeconds < pause.Seconds() {
		t.Errorf("%+v: the clients were not stopped", f)
	}
}

func TestTCPRow(t *testing.T) {
	const port = 50e6
	f, err := measureOurs(t, func(r *row) {
		r.sizeBytes, r.besideTCP, r.portBitsPerSec = 4<<20, true, port
		r.prepare = behindPorts(r.clients, port, switchQueueBytes)
		r.during = &event{at: 0.02, do: startTCPFlows}
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.tcpShare <= 0 || f.tcpShare > 1.1 || f.othersSeconds <= 0 {
		t.Errorf("%+v", f)
	}
}

func TestTCPShare(t *testing.T) {
	// 1000 full segments, 1.538 MB on the wire, within a second.
	if got := tcpShare(1000*tcpPayloadBytes, time.Second, 2*1538*8*1000); got < 0.4999 || got > 0.5001 {
		t.Errorf("got %g, want 0.5", got)
	}
}

func TestThrottledIn(t *testing.T) {
	for _, c := range []struct {
		stat string
		want int
		ok   bool
	}{
		{"usage_usec 5\nnr_periods 9\nnr_throttled 7\nthrottled_usec 100\n", 7, true},
		{"nr_periods 9\nnr_throttled 0\nthrottled_time 100\n", 0, true},
		{"usage_usec 5\n", 0, false},
		{"nr_throttled many\n", 0, false},
	} {
		if got, err := throttledIn(c.stat); (err == nil) != c.ok || got != c.want {
			t.Errorf("%q: %d, %v", c.stat, got, err)
		}
	}
}

func TestUDPMessages(t *testing.T) {
	const head = "Ip: Forwarding\nIp: 1\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\n"
	for _, c := range []struct {
		snmp string
		want uint64
		ok   bool
	}{
		{head + "Udp: 100 7 5 33 4\nUdpLite: InDatagrams RcvbufErrors\nUdpLite: 1000 1000\n", 104, true},
		{"Udp: RcvbufErrors InDatagrams\nUdp: 3 4\n", 7, true},
		{head + "Udp: 100 7 5 33\n", 0, false},
		{head + "Udp: many 7 5 33 4\n", 0, false},
		{head, 0, false},
		{"", 0, false},
	} {
		got, err := udpMessages([]byte(c.snmp))
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%q: %d, %v", c.snmp, got, err)
		}
	}
}

func TestWorst(t *testing.T) {
	runs := []figures{{goodput: 2, sent: 1.0}, {goodput: 4, sent: 1.1}, {goodput: 5, sent: 1.3}}
	good := table{key{"row", ours}: {runs: runs, median: median(runs)}}
	goodputOf, sentOf := func(f figures) float64 { return f.goodput }, func(f figures) float64 { return f.sent }
	if got, ok := lowestOf(3, goodputOf, "row", ours)(good); !ok || got != 0.5 {
		t.Errorf("the lowest goodput ÷ median: %g, %v", got, ok)
	}
	if got, ok := highestOf(3, sentOf, "row", ours)(good); !ok || got < 1.18 || got > 1.19 {
		t.Errorf("the highest sent ÷ median: %g, %v", got, ok)
	}
	if _, ok := highestOf(4, sentOf, "row", ours)(good); ok {
		t.Error("three rounds pass for four")
	}
	if _, ok := highestOf(1, sentOf, "row", oursMXB1)(good); ok {
		t.Error("what was not measured passes")
	}
}

// TestUsual: what is wanted of every row of a kind is wanted of those, and enough rounds count.
func TestUsual(t *testing.T) {
	wants := func(r row, text string) bool {
		return slices.ContainsFunc(r.wanted, func(f figure) bool { return strings.HasPrefix(f.text, text) })
	}
	packets := map[string]bool{
		rowNoLoss: true, rowFifth: true, rowSixteenLoss: true, rowHoles: true, rowUnshaped: true, rowRestarted: true,
		rowJumbo: false, rowBottleneck: false, rowSparse: false, rowUpdated: false, rowSlowPipes: false, rowThrottled: false, rowDutyFew: false,
	}
	for _, r := range rows(256 << 20) {
		if want, there := packets[r.name]; there && wants(r, "packets a message") != want {
			t.Errorf("%s: packets a message are wanted: %v", r.name, !want)
		}
		if lossy := r.config.LossPercent > 0; wants(r, "sent, worst of") != lossy || lossy && r.worstOf < lossRounds {
			t.Errorf("%s: the worst of %d is wanted: %v", r.name, r.worstOf, !lossy)
		}
		if r.name == rowUnshaped && (!wants(r, "goodput, worst of 8") || r.worstOf < 8) {
			t.Errorf("%s: worst of %d", r.name, r.worstOf)
		}
		if fixed := slices.Contains(r.only, oursBestRate); fixed != (r.rates != nil) || fixed && (r.rates.lowBitsPerSec < 1 || r.rates.highBitsPerSec <= r.rates.lowBitsPerSec) {
			t.Errorf("%s: rates %+v", r.name, r.rates)
		}
		if (r.rates != nil) != wants(r, "wall time ÷ at the best fixed rate") {
			t.Errorf("%s: not held against the best fixed rate", r.name)
		}
	}
}

// TestWorstRounds: where the worst is told, more rounds count of ours and of the bare loop that
// it is held against, and no more of others.
func TestWorstRounds(t *testing.T) {
	b := newBench(t)
	b.rounds, b.row.worstOf, b.row.sizeBytes = 2, 3, 4<<20
	results, err := b.measure(t.Context(), []system{
		bareSystem(bareLoop, barePackets), bareSystem("other", barePackets), multiserverSystem(ours, lab.BuildOnce(t)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []int{3, 2, 3} {
		if got := len(results[n].runs); got != want {
			t.Errorf("%d rounds of %s count, want %d", got, results[n].system, want)
		}
	}
	for _, f := range results[2].runs {
		if f.toBare <= 0 {
			t.Errorf("%+v: not held against the bare loop of its round", f)
		}
	}
}
