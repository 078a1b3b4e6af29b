// Original starts the model of the server or of the client of 2012 as a
// process, for tests in network namespaces.
//
//	original server -f FILE [-g GROUP] [-p PORT] [-s [HOST:]PORT] [-d DELAY] [-i INTERFACE] [-survive]
//	original client [-g GROUP] [-p PORT] [-t MS] [-f FROM_PORT] [-s HOST[:PORT]] [-o OUT] [-n] [-i INTERFACE] [-survive]
//
// DELAY is in nanoseconds. -i and -survive are the tests' and not the
// original's: without -i the routing table chooses the interface; -survive goes
// on behind a block past the end, or when a second request waits, see the
// package. Lines go to standard output; the server's first one says that its
// sockets are open.
//
// Exit status: 0 image received, 1 error, 2 wrong usage, 98 the client would
// write into the root folder, 99 the client wrote past its map.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"multiserver/internal/original"
)

const (
	exitError      = 1
	exitUsage      = 2
	exitRootFolder = 98
	exitPastMap    = 99
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// errUsage marks what the command line has wrong; flag has printed the reason.
var errUsage = errors.New("usage")

// run returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := errUsage
	if len(args) > 0 {
		switch args[0] {
		case "server":
			err = server(ctx, args[1:], stdout, stderr)
		case "client":
			err = client(ctx, args[1:], stdout, stderr)
		}
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "usage: original server|client [flags]")
		return exitUsage
	}
	fmt.Fprintln(stderr, "original:", err)
	switch {
	case errors.Is(err, original.ErrRootFolder):
		return exitRootFolder
	case errors.Is(err, original.ErrPastMap):
		return exitPastMap
	}
	return exitError
}

func server(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	config := original.ServerConfig{Output: stdout}
	flags := newFlags("server", stderr, &config.Group, &config.Port, &config.Interface)
	flags.StringVar(&config.File, "f", "", "`file` to serve")
	flags.Func("s", "`[HOST:]PORT` of the control socket", func(s string) error {
		host, port, err := splitServer(s)
		if err != nil {
			return err
		}
		config.ControlPort = port
		if host != "" {
			config.Address, err = netip.ParseAddr(host)
		}
		return err
	})
	flags.Func("d", "pause behind each block, `ns`", func(s string) error {
		ns, err := strconv.ParseUint(s, 10, 63)
		config.Delay = time.Duration(ns)
		return err
	})
	flags.BoolVar(&config.SurviveWaiting, "survive", false, "go on when a second request waits")
	if err := flags.Parse(args); err != nil || config.File == "" || flags.NArg() > 0 {
		return errUsage
	}
	s, err := original.NewServer(config)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

func client(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	config := original.ClientConfig{Output: stdout}
	flags := newFlags("client", stderr, &config.Group, &config.Port, &config.Interface)
	flags.Func("t", "quiet time, `ms`", func(s string) error {
		ms, err := strconv.ParseUint(s, 10, 32)
		config.Quiet = time.Duration(ms) * time.Millisecond
		return err
	})
	flags.Func("f", "`port` to ask from", portInto(&config.FromPort))
	flags.Func("s", "`HOST[:PORT]` to ask", func(s string) (err error) {
		config.Host, config.ControlPort, err = splitServer(s)
		return err
	})
	flags.StringVar(&config.Out, "o", "", "`file` to write")
	flags.BoolVar(&config.NoSparse, "n", false, "no sparse files")
	flags.BoolVar(&config.SurvivePastMap, "survive", false, "go on behind a block past the end")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return errUsage
	}
	c, err := original.NewClient(config)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// newFlags returns the flags that both commands have.
func newFlags(name string, stderr io.Writer, group *netip.Addr, port *uint16, via **net.Interface) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("g", "multicast `group`", func(s string) (err error) {
		*group, err = netip.ParseAddr(s)
		return err
	})
	flags.Func("p", "`port` of the blocks", portInto(port))
	flags.Func("i", "multicast `interface`", func(s string) (err error) {
		*via, err = net.InterfaceByName(s)
		return err
	})
	return flags
}

func portInto(port *uint16) func(string) error {
	return func(s string) error {
		n, err := strconv.ParseUint(s, 10, 16)
		*port = uint16(n)
		return err
	}
}

// splitServer reads -s: PORT, HOST, HOST:PORT or :PORT. What is missing is
// returned as zero.
func splitServer(s string) (host string, port uint16, err error) {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil {
		return "", uint16(n), nil
	}
	host, digits, found := strings.Cut(s, ":")
	if found {
		err = portInto(&port)(digits)
	}
	return host, port, err
}
