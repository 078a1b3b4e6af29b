//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
)

// process is a running side of a system.
type process struct {
	name    string
	cmd     *lab.Cmd
	duty    *duty         // that it is kept to; nil if it runs all the time
	release chan struct{} // closed by stop: it may run all the time
	pipe    *pipe         // that standard output goes to; nil if to output
	output  bytes.Buffer  // complete once done is closed
	started time.Time     // set by start
	done    chan struct{} // closed by the goroutine of start after ended and err are set, and the pipe is read
	ended   time.Time
	err     error
	// coreShare is what it has of a core, 0 if that is not limited.
	coreShare        float64
	throttledPeriods int // in which it used that up; valid once done is closed
	// abandoned: the row has made sure that it does not finish.
	abandoned bool
}

func newProcess(name string, cmd *lab.Cmd) *process {
	p := &process{name: name, cmd: cmd, release: make(chan struct{}), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	return p
}

func (p *process) start() error {
	read := func() {}
	if p.pipe != nil {
		from, to, err := os.Pipe()
		if err != nil {
			return err
		}
		defer to.Close() // it is the program's
		p.cmd.Stdout = to
		read = func() { p.pipe.read(from) }
	}
	group := &cpuGroup{}
	if p.coreShare > 0 {
		var err error
		if group, err = newCPUGroup(p.coreShare); err != nil {
			return err
		}
	}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.name, err), group.remove())
	}
	var groupErr, dutyErr error
	if groupErr = group.add(p.cmd.Process); groupErr != nil {
		_ = p.cmd.Process.Kill() // it may have ended
	}
	exited := make(chan struct{})  // closed by the goroutine that waits
	dutyEnd := make(chan struct{}) // closed by the next goroutine
	go func() {
		defer close(dutyEnd)
		if p.duty != nil {
			var share float64
			share, dutyErr = p.duty.keep(p.cmd.Process, exited, p.release)
			fmt.Fprintf(os.Stderr, "%s: not stopped for %.3f of its time\n", p.name, share)
		}
	}()
	all := make(chan struct{}) // closed by the next goroutine
	go func() {
		defer close(all)
		read()
	}()
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
		p.ended = time.Now()
		close(exited)
		<-all
		<-dutyEnd
		throttled, throttledErr := group.throttledPeriods()
		p.throttledPeriods = throttled
		p.err = errors.Join(p.err, groupErr, dutyErr, throttledErr, group.remove())
	}()
	return nil
}

// wait returns when it has ended by itself.
func (p *process) wait() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// stop ends what may serve for ever, if it was started.
func (p *process) stop() {
	if p.cmd.Process == nil {
		return
	}
	if p.abandoned {
		p.kill()
		return
	}
	close(p.release)
	_ = p.cmd.Process.Signal(unix.SIGINT) // fails if it has ended
	select {
	case <-p.done:
	case <-time.After(endLimit):
		p.kill()
	}
}

// kill ends it as a power cut would, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended
	<-p.done
}
