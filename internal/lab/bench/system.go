//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"multiserver/internal/lab"
)

// The systems that figures are about.
const (
	ours     = "multiserver"
	oursMXB1 = "multiserver, MXB 1"
	bareLoop = "bare loop"
	// oursFresh looks at nothing that a target holds.
	oursFresh = "multiserver, --fresh"
	// oursBestRate is told the best fixed rate, which is searched for.
	oursBestRate = "multiserver, best --rate"
)

// system is a pair of programs that carries an image to many machines.
type system struct {
	name string
	// programs are what it needs in PATH.
	programs []string
	// server and client prepare the command of host 0, and of the n-th client.
	server func(j *job) *lab.Cmd
	client func(j *job, n int) *lab.Cmd
	// daemons: clients wait for servers for ever. They start first, and the server's
	// end is that of the transfer.
	daemons bool
	// check reports whether the n-th client did its job; output is what it printed.
	check func(j *job, n int, output []byte) error
	note  string // how it is run, for the report
	// optional: it takes part only in rows that name it.
	optional bool
	// fixedRate: the server is told the best rate, which is searched for before the rounds.
	fixedRate bool
	// pack makes what it sends of an image, before the rounds; nil if it sends the image.
	pack func(ctx context.Context, image string) error
}

// job is one transfer in a lab of its own.
type job struct {
	ctx         context.Context
	lab         *lab.Lab
	image       string
	sizeBytes   int64
	lossPercent float64
	folder      string
	cache       string // of the server's manifests
	row         row
	// rateBitsPerSec is what the server is told; nothing if 0.
	rateBitsPerSec int64
	gate           *gate // before the image; nil unless the row has it
}

func (j *job) clients() []*lab.Host {
	if j.row.besideTCP {
		return j.lab.Hosts[1 : len(j.lab.Hosts)-1]
	}
	return j.lab.Hosts[1:]
}

// clientFolder is an empty folder of the n-th client, output the path in it where
// the image is to be.
func (j *job) clientFolder(n int) string { return filepath.Join(j.folder, fmt.Sprint("client", n)) }
func (j *job) output(n int) string {
	return filepath.Join(j.clientFolder(n), filepath.Base(j.image))
}

// pipeBytesPerSec is what the pipe takes that the n-th client writes to, 0 if it is
// a file.
func (j *job) pipeBytesPerSec(n int) float64 {
	if n >= len(j.row.pipeBytesPerSec) {
		return 0
	}
	return j.row.pipeBytesPerSec[n]
}

// sameAsImage is the check of all that write files.
func sameAsImage(j *job, n int, _ []byte) error {
	if j.row.null {
		return nil
	}
	return sameData(j.image, j.output(n))
}

// systems returns those that are there, and notes about the rest.
func (o *options) systems() (there []system, notes []string, err error) {
	programs := lab.Programs{
		Server: filepath.Join(o.programs, "multiserver"),
		Client: filepath.Join(o.programs, "multiclient"),
	}
	for _, path := range []*string{&programs.Server, &programs.Client} {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, nil, err
		}
		if _, err := os.Stat(*path); err != nil {
			return nil, nil, fmt.Errorf("run make build first: %w", err)
		}
	}
	for _, s := range []system{
		bareSystem(bareLoop, barePackets), bareSystem(bareLoop+", packet by packet", 1),
		multiserverSystem(ours, programs), multiserverSystem(oursMXB1, programs, "--mxb1"),
		bestRateSystem(programs), freshSystem(programs), packedSystem(programs), neverSystem(programs), udpcastSystem(), udpcastLimitedSystem(), uftpSystem(),
	} {
		if !o.by.MatchString(s.name) {
			continue
		}
		missing := ""
		for _, program := range s.programs {
			if _, err := exec.LookPath(program); err != nil {
				missing = program
			}
		}
		if missing != "" {
			notes = append(notes, fmt.Sprintf("%s is left out: there is no %s here (Debian: apt-get install %s)", s.name, missing, packages[s.name]))
			continue
		}
		there = append(there, s)
		notes = append(notes, s.name+": "+s.note)
	}
	return there, notes, nil
}

func bestRateSystem(programs lab.Programs) system {
	s := multiserverSystem(oursBestRate, programs)
	s.optional, s.fixedRate = true, true
	s.note = fmt.Sprintf("the same with a fixed `--rate`, the fastest of a search of at most %d whole runs: a coarse sweep, then halving of the gaps beside the best, to %.0f%%; of those within %.0f%% of the fastest, the one that sends least",
		maxTrials, 100*(fineStep-1), 100*(sameTime-1))
	return s
}

func freshSystem(programs lab.Programs) system {
	s := multiserverSystem(oursFresh, programs, "--fresh")
	s.optional = true
	return s
}

// multiserverSystem is ours as anybody would run it, or, with a name and flags of
// its own, a way of it that a figure is about.
func multiserverSystem(name string, programs lab.Programs, clientFlags ...string) system {
	return system{
		name: name,
		server: func(j *job) *lab.Cmd {
			flags := append([]string{"-i", "eth0", "-f", j.image}, j.row.serverFlags...)
			if j.rateBitsPerSec > 0 {
				flags = append(flags, "--rate", fmt.Sprint(j.rateBitsPerSec))
			}
			c := j.lab.Hosts[0].Command(j.ctx, programs.Server, flags...)
			if j.row.crowded {
				c = j.lab.Hosts[0].Command(j.ctx, "taskset", append([]string{"-c", "0", programs.Server}, flags...)...)
			}
			c.Env = append(os.Environ(), "XDG_CACHE_HOME="+j.cache)
			return c
		},
		client: func(j *job, n int) *lab.Cmd {
			output := j.output(n)
			if j.row.null {
				output = os.DevNull
			}
			if j.pipeBytesPerSec(n) > 0 {
				output = "-"
			}
			flags := append([]string{"-i", "eth0", "-o", output}, clientFlags...)
			flags = append(flags, j.row.clientFlags...)
			return j.clients()[n].Command(j.ctx, programs.Client, flags...)
		},
		check: sameAsImage,
		note:  strings.TrimSpace("`multiserver -i eth0 -f IMAGE` and `multiclient -i eth0 -o OUT "+strings.Join(clientFlags, " ")) + "`",
	}
}
