//go:build linux

// Bench measures multiserver beside udpcast, UFTP and a bare loop of UDP packets
// in a lab of network namespaces, and prints the table of docs/benchmarks.md. make bench
// runs it; it needs root or user namespaces.
//
// Every system sends the same image, from memory to memory, by the same network.
// In each round each system has its turn, so that a machine that is slower for a
// while is that for all. The first round is discarded, the rest gives medians.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
)

// roleVariable makes this program play a part.
const roleVariable = "MULTISERVER_BENCH_ROLE"

const quickSizeBytes = 16 << 20

// options are the flags.
type options struct {
	runs      int
	sizeBytes int64
	only      *regexp.Regexp
	by        *regexp.Regexp
	programs  string
	trials    int // of a search for the best fixed rate, at most
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	o := parse()
	// In the lab there is no way to a package server.
	installPeers()
	if o.needsRoot() {
		findRootImages()
	}
	lab.Enter()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() options {
	var o options
	flag.IntVar(&o.runs, "runs", 3, "rounds that count, after one that does not")
	size := flag.Int64("size", 256, "size of the image in `MiB`; rows for slow networks take a part of it")
	only := flag.String("only", "", "measure only rows whose name matches `REGEXP`")
	by := flag.String("by", "", "measure only systems whose name matches `REGEXP`")
	quick := flag.Bool("quick", false, "one round of 16 MiB, to see that all works")
	flag.StringVar(&o.programs, "programs", "bin", "`FOLDER` of multiserver and multiclient")
	flag.Parse()
	o.sizeBytes, o.trials = *size<<20, maxTrials
	if *quick {
		o.runs, o.sizeBytes, o.trials = 1, quickSizeBytes, quickTrials
	}
	var err error
	if o.only, err = regexp.Compile("(?i)" + *only); err != nil {
		usage("-only: %v", err)
	}
	if o.by, err = regexp.Compile("(?i)" + *by); err != nil {
		usage("-by: %v", err)
	}
	if o.runs < 1 || o.sizeBytes < 1<<20 || flag.NArg() > 0 {
		usage("at least one round of one MiB, and no arguments")
	}
	return o
}

// needsRoot reports whether a row of root file systems is to be measured.
func (o *options) needsRoot() bool {
	for _, r := range rows(o.sizeBytes) {
		if r.sizeBytes == rootImageBytes && r.source != nil && o.only.MatchString(r.name) && o.by.MatchString(ours) {
			return true
		}
	}
	return false
}

func usage(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", arguments...)
	flag.Usage()
	os.Exit(2)
}

func (o *options) run(ctx context.Context) error {
	systems, notes, err := o.systems()
	if err != nil {
		return err
	}
	folder, err := mountMemory()
	if err != nil {
		return err
	}
	defer unmountMemory(folder)

	disk, err := makeTargetsFolder()
	if err != nil {
		return err
	}
	defer os.RemoveAll(disk)

	var results []result
	var failures []error
	for _, r := range rows(o.sizeBytes) {
		if !o.only.MatchString(r.name) {
			continue
		}
		if r.missing != nil {
			if reason := r.missing(); reason != "" {
				notes = append(notes, fmt.Sprintf("%q is left out: %s", r.name, reason))
				continue
			}
		}
		if r.note != "" {
			notes = append(notes, fmt.Sprintf("%q: %s", r.name, r.note))
		}
		b := bench{row: r, folder: folder, disk: disk, rounds: o.runs * max(1, r.times), discard: o.runs > 1 || r.served, trials: o.trials}
		rowResults, err := b.measure(ctx, systems)
		if ctx.Err() != nil {
			failures = append(failures, fmt.Errorf("interrupted: %s and what follows is not measured", r.name))
			break
		}
		results = append(results, rowResults...)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", r.name, err))
		}
	}
	if len(results) == 0 && len(failures) == 0 {
		return fmt.Errorf("no row matches %q, or it is left out: %s", o.only, strings.Join(notes, "; "))
	}
	fmt.Print(report{o, results, notes}.String())
	return errors.Join(failures...)
}

// mountMemory mounts a file system in memory, so that no disk is measured. It is
// seen in the lab only and ends with it; the empty folder it is mounted on stays
// if this process is killed.
func mountMemory() (string, error) {
	folder, err := os.MkdirTemp("", "multiserver-bench-")
	if err != nil {
		return "", err
	}
	if err := unix.Mount("none", folder, "tmpfs", 0, "size=90%"); err != nil {
		os.Remove(folder)
		return "", fmt.Errorf("mount a file system in memory (needs root or user namespaces): %w", err)
	}
	return folder, nil
}

// cacheFolder is where what is made once is kept, and where targets on a disk are.
func cacheFolder() string {
	folder, err := os.UserCacheDir()
	if err != nil {
		folder = os.TempDir()
	}
	return filepath.Join(folder, "multiserver-bench")
}

func makeTargetsFolder() (string, error) {
	if err := os.MkdirAll(cacheFolder(), 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(cacheFolder(), "targets-")
}

func unmountMemory(folder string) {
	// A program that was killed a moment ago may still be in it.
	_ = unix.Unmount(folder, unix.MNT_DETACH)
	_ = os.Remove(folder)
}

// tail is the end of what a program said, for an error.
func tail(output []byte) string {
	const most = 600
	text := strings.TrimSpace(string(output))
	return text[max(0, len(text)-most):]
}
