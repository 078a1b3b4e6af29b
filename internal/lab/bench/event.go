//go:build linux

package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// pollInterval is between looks at how far a transfer is.
const pollInterval = 2 * time.Millisecond

// event is what happens once in the course of a transfer, by a system whose clients
// start after its server.
type event struct {
	at float64 // bytes that left the server's interface by then ÷ image
	do func(j *job, s system, o *outcome) error
	// startsLast: the last client is not there before.
	startsLast bool
}

// killLast ends the last client as a power cut would.
func killLast(_ *job, _ system, o *outcome) error {
	last := o.clients[len(o.clients)-1]
	last.abandoned = true
	last.kill()
	return nil
}

// stopLast halts the last client for good; its kernel goes on receiving.
func stopLast(_ *job, _ system, o *outcome) error {
	last := o.clients[len(o.clients)-1]
	last.abandoned = true
	return last.cmd.Process.Signal(unix.SIGSTOP)
}

func startLast(_ *job, _ system, o *outcome) error { return o.clients[len(o.clients)-1].start() }

// restartLast kills the last client and starts it again once the server has sent all that
// it was asked for, since nobody told it.
func restartLast(j *job, s system, o *outcome) error {
	n := len(o.clients) - 1
	o.clients[n].abandoned = true
	o.clients[n].kill()
	sent, err := awaitQuiet(j)
	if err != nil {
		return err
	}
	o.sentBefore = sent
	o.clients[n] = newProcess(o.clients[n].name+" again", s.client(j, n))
	return o.clients[n].start()
}

// restartServer kills the server and starts another after a while.
func restartServer(after time.Duration) func(*job, system, *outcome) error {
	return func(j *job, s system, o *outcome) error {
		o.servers[0].abandoned = true
		o.servers[0].kill()
		time.Sleep(after)
		o.servers = append(o.servers, newProcess("server again", s.server(j)))
		return o.servers[1].start()
	}
}

// stallDisk lets nobody read the image for a while.
func stallDisk(stall time.Duration) func(*job, system, *outcome) error {
	return func(j *job, _ system, _ *outcome) error {
		j.gate.shut(stall)
		return nil
	}
}

const (
	// quietBytes within quietTime are what is said without a stream.
	quietBytes = 16 << 10
	quietTime  = time.Second
)

// awaitQuiet returns when there is no stream any more, and what has left the server's
// interface by then.
func awaitQuiet(j *job) (sent uint64, err error) {
	for {
		before, err := j.lab.Hosts[0].Counters()
		if err != nil {
			return 0, err
		}
		select {
		case <-j.ctx.Done():
			return 0, j.ctx.Err()
		case <-time.After(quietTime):
		}
		now, err := j.lab.Hosts[0].Counters()
		if err != nil || now.SentBytes-before.SentBytes <= quietBytes {
			return now.SentBytes, err
		}
	}
}

// awaitSent returns when a share of the image has left the server's interface while
// programs run.
func awaitSent(j *job, share float64, running []*process) error {
	for {
		c, err := j.lab.Hosts[0].Counters()
		if err != nil {
			return err
		}
		if float64(c.SentBytes) >= share*float64(j.sizeBytes) {
			return nil
		}
		for _, p := range running {
			select {
			case <-p.done: // killed by the context, at the latest
				if err := p.wait(); err != nil {
					return err
				}
				return fmt.Errorf("%s ended before %g of the image was sent", p.name, share)
			default:
			}
		}
		time.Sleep(pollInterval)
	}
}
