//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// report is what is printed, in Markdown.
type report struct {
	options *options
	results []result
	notes   []string
}

func (r report) String() string {
	var s strings.Builder
	rounds := fmt.Sprintf("%d rounds, the first discarded, medians of the others", r.options.runs+1)
	if r.options.runs == 1 {
		rounds = "one round"
	}
	fmt.Fprintf(&s, "- machine: %s\n- command: `%s`\n- %s; image of %d MiB at 1 GbE\n", machine(), command(), rounds, r.options.sizeBytes>>20)
	s.WriteString("- wall: start of the clients to the exit of the last; goodput: image ÷ time from the first data at any client, its first 64 KiB, to the last, by their interfaces' counters; sent: bytes that left the server's interface; CPU: user and system, the kernel's network included where it runs in the program's time, of the clients the mean; others: wall without the last client, the one that a row is about; first data: after the start of the clients; end: after the last data; 90%: first data until the rate of 100 ms was 0.9 of the median of what followed; silence: the longest at any client between data and data; packets a message: full packets that came to clients' interfaces ÷ messages that came to their UDP sockets; memory: largest resident set, never less than this command's own\n")
	for _, note := range r.notes {
		fmt.Fprintf(&s, "- %s\n", note)
	}
	s.WriteString("\n| row | system | wall s | goodput MB/s | ÷ bare | image ÷ wall MB/s | sent ÷ image | CPU s server | CPU s client | peak MiB server | peak MiB client | others s | first data s | end s | 90% s | silence s | packets a message | wanted |\n")
	s.WriteString("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	rows := rows(r.options.sizeBytes)
	good := table{}
	for _, result := range r.results {
		if !result.failed {
			good[result.key] = result
		}
	}
	for _, result := range r.results {
		at := slices.IndexFunc(rows, func(each row) bool { return each.name == result.row })
		s.WriteString(line(result, rows[at], good))
	}
	return s.String()
}

func line(r result, of row, good table) string {
	wanted := verdicts(of.wanted, r.system, good)
	if r.failed {
		return fmt.Sprintf("| %s | %s | **FAILED** | | | | | | | | | | | | | | | %s |\n", r.row, r.system, wanted)
	}
	m := r.median
	toBare, system := "", r.system
	if r.rateBitsPerSec > 0 {
		system += fmt.Sprintf(": %.4g Mbit/s", float64(r.rateBitsPerSec)/1e6)
	}
	if m.toBare > 0 {
		toBare = fmt.Sprintf("%.3f", m.toBare)
	}
	return fmt.Sprintf("| %s | %s | %.2f | %.1f | %s | %.1f | %.3f | %.2f | %.2f | %.0f | %.0f | %.2f | %.2f | %.2f | %.2f | %.2f | %.1f | %s |\n",
		r.row, system, m.wallSeconds, m.goodput/1e6, toBare, float64(of.sizeBytes)/m.wallSeconds/1e6, m.sent,
		m.serverCPUSeconds, m.clientCPUSeconds, m.serverPeakBytes/(1<<20), m.clientPeakBytes/(1<<20),
		m.othersSeconds, m.startSeconds, m.endSeconds, m.rampSeconds, m.silenceSeconds, m.packetsPerMessage, wanted)
}

// verdicts are about a system.
func verdicts(wanted []figure, system string, good table) string {
	var texts []string
	for _, f := range wanted {
		if f.system != system {
			continue
		}
		value, reached, ok := f.value(good)
		switch {
		case !ok:
			texts = append(texts, f.text+": not measured")
		case f.unlimited:
			texts = append(texts, fmt.Sprintf("%s: %.3f", f.text, value))
		case reached:
			texts = append(texts, fmt.Sprintf("%s: reached, %.2f", f.text, value))
		default:
			texts = append(texts, fmt.Sprintf("%s: **missed**, %.2f", f.text, value))
		}
	}
	return strings.Join(texts, "; ")
}

// machine is what the figures depend on.
func machine() string {
	model := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := bytes.Cut(info, []byte("model name")); ok {
			name, _, _ := bytes.Cut(rest, []byte("\n"))
			model = strings.TrimLeft(string(name), "\t :")
		}
	}
	kernel := "unknown"
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		kernel = unix.ByteSliceToString(name.Release[:])
	}
	return fmt.Sprintf("%s, %d cores, Linux %s, %s", model, runtime.NumCPU(), kernel, runtime.Version())
}

func command() string {
	if len(os.Args) == 1 {
		return "make bench"
	}
	return "make build && go run ./internal/lab/bench " + strings.Join(os.Args[1:], " ")
}
