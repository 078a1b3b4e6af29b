package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"multiserver"
	"multiserver/internal/quote"
)

// The verdicts.
const (
	verdictDone        = "done"
	verdictFailed      = "failed"
	verdictInterrupted = "interrupted"
)

// result is how it ended, for --post-command.
type result struct {
	status  int
	verdict string
	err     error // nil if done
	stats   multiserver.ClientStats
}

// environ are the variables that tell of it.
func (r result) environ() []string {
	line, server, verified := "", "", "0"
	if r.err != nil {
		line = r.err.Error()
	}
	if r.stats.Server.IsValid() {
		server = r.stats.Server.String()
	}
	if r.err == nil && r.stats.Verified {
		verified = "1"
	}
	all := []string{
		"RESULT_STATUS=" + strconv.Itoa(r.status),
		"RESULT_VERDICT=" + r.verdict,
		"RESULT_ERROR=" + line,
		"RESULT_TARGET=" + r.stats.Output,
		"RESULT_IMAGE=" + r.stats.Name,
		"RESULT_BYTES=" + strconv.FormatUint(r.stats.SizeBytes, 10),
		"RESULT_SERVER=" + server,
		"RESULT_VERIFIED=" + verified,
	}
	for i := range all { // a name that came over the network may hold anything
		all[i] = strings.Map(func(c rune) rune {
			if unicode.IsControl(c) {
				return '?'
			}
			return c
		}, all[i])
	}
	return all
}

// runAfter runs a command of the shell with r in its environment, and passes signals
// on. What it prints goes to stderr: stdout may be the image, or objects.
func runAfter(command string, r result) error {
	shell := exec.Command("/bin/sh", "-c", command)
	shell.Env = append(os.Environ(), r.environ()...)
	shell.Stdout, shell.Stderr = os.Stderr, os.Stderr
	// A few may wait: each is passed on as it comes.
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	if err := shell.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1) // so that its sender never waits
	go func() { ended <- shell.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = shell.Process.Signal(s) // it has ended if that fails
		case err := <-ended:
			return err
		}
	}
}

// postCommandFailed says so although the image is where it should be.
func postCommandFailed(r result, err error) error {
	return fmt.Errorf("%s is complete, but --post-command failed: %w", quote.Name(r.stats.Output), err)
}
