// Multiserver multicasts a disk image to any number of multiclients.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"multiserver"
	"multiserver/cmd/internal/command"
	"multiserver/internal/progress"
)

const program = "multiserver"

const examples = `
multiserver multicasts a disk image to any number of multiclients until stopped.

  multiserver -f debian.img               serve a file
  multiserver /dev/sdb                    serve a disk
  multiserver -i eth1 --rate 900M x.img   on one interface, at most 900 Mbit/s
  multiserver --min-receivers 30 x.img    start when 30 clients have joined
  multiserver --exit-after-done x.img     exit when all clients are done
  multiserver pack x.img -o x.mspack.zst  compress it once, serve it often
  multiserver check -f x.img              find out why clients do not get it
`

const notes = `
A word that is a command is that command: serve a file called check as ./check
or with -f check. TIME is 50us, 30s or 2m; a plain number is in seconds, for -d
in nanoseconds.`

const statuses = `
  0      --exit-after-done, and every client that came has the image
  1      an error while serving
  2      usage
  3      no network to serve within --interface-timeout, or no client
         within --max-time
  7      --exit-after-done or --max-time, and not every client that came has
         the image
  128+n  ended by signal n without an error: 130 after Ctrl-C`

// options are the flags.
type options struct {
	config   multiserver.ServerConfig
	endpoint command.Endpoint
	output   command.Output
}

func main() { os.Exit(execute()) }

func execute() int { return new(options).command().Execute(os.Args[1:]) }

// command is the program, with its flags in o.
func (o *options) command() *command.Command {
	c := command.New(command.Text{Name: program, Examples: examples, Notes: notes, Statuses: statuses}, o.serve)
	c.Alias("max-bitrate", "rate")
	c.Add("What to serve", func(f *pflag.FlagSet) {
		f.StringVarP(&o.config.File, "file", "f", "", "`IMAGE` to serve: a file or a device; -f is optional")
		f.Var(command.Value(&o.config.SkipUnused, command.ParseSkipUnused, "WHEN", "auto"),
			"skip-unused", "zero what no file system uses: auto, never")
		f.Var(command.Value(&o.config.Compress, command.ParseCompress, "WHEN", "auto"),
			"compress", "compress what is sent: auto, always, never")
		f.StringVar(&o.config.Signature, "signature", "", "`FILE` that sign made; else IMAGE.mxs, if any")
	})
	c.Add("Network", func(f *pflag.FlagSet) {
		f.VarP(command.Value(&o.config.Group, command.ParseGroup, "ADDRESS", multiserver.DefaultGroup.String()),
			"group", "g", "multicast group, IPv4 or IPv6")
		f.VarP(command.Value(&o.config.Port, command.ParsePort, "PORT", strconv.Itoa(multiserver.DefaultPort)),
			"port", "p", "UDP port of the stream")
		f.VarP(command.Value(&o.endpoint, command.ParseEndpoint, "[HOST:]PORT", strconv.Itoa(multiserver.DefaultControlPort)),
			"control", "s", "listen for clients here; HOST alone will do")
		f.StringVarP(&o.config.Interface, "interface", "i", "", "use only the network interface `NAME`")
		f.Var(command.Value(&o.config.InterfaceTimeout, command.ParseLimit(multiserver.NoTimeout), "TIME", fmt.Sprintf("%gs", multiserver.DefaultInterfaceTimeout.Seconds())),
			"interface-timeout", "wait this long for an interface; 0: for ever")
		f.Var(command.Value(&o.config.TTL, command.ParseWithin(1, math.MaxUint8), "N", strconv.Itoa(multiserver.DefaultTTL)),
			"ttl", "multicast TTL: routers to pass, plus one")
		f.Var(command.Value(&o.config.DataGroup, command.ParseGroup, "ADDRESS", ""),
			"data-group", "group of MXB 2's stream; else the image's own")
		f.Var(command.Value(&o.config.MTU, command.ParseCount, "N", strconv.Itoa(multiserver.DefaultMTU)),
			"mtu", "packet size in bytes; 9000 for jumbo frames")
		f.Var(command.Value(&o.config.Unicast, command.ParseUnicast, "WHEN", "auto"),
			"unicast", "serve by unicast: auto, always, never")
		f.Var(command.Value(&o.config.MXB1, command.ParseMXB1, "WHEN", "auto"),
			"mxb1", "serve over MXB 1: never, auto, only")
		f.Var(command.Value(&o.config.RateBitsPerSec, command.ParseRate, "BITS", ""),
			"rate", "limit in bits/s: 900M, 1G; or --max-bitrate")
		f.VarP(command.Value(&o.config.Delay, command.ParseDuration(time.Nanosecond), "TIME", ""),
			"delay", "d", "pause this long after each packet")
	})
	c.Add("Start and end", func(f *pflag.FlagSet) {
		f.Var(command.Value(&o.config.MinReceivers, command.ParseWithin(1, multiserver.MaxReceivers), "N", ""),
			"min-receivers", "start when this many clients have joined")
		f.Var(command.Value(&o.config.MinWait, command.ParseDuration(time.Second), "TIME", ""),
			"min-wait", "wait at least this long after the first client")
		f.Var(command.Value(&o.config.MaxWait, command.ParseDuration(time.Second), "TIME", ""),
			"max-wait", "wait at most this long after the first client")
		f.BoolVar(&o.config.ExitAfterDone, "exit-after-done", false, "exit when all clients that came are done or gone")
		f.Var(command.Value(&o.config.ClientTimeout, command.ParsePositive(time.Second), "TIME", fmt.Sprintf("%gs", multiserver.DefaultClientTimeout.Seconds())),
			"client-timeout", "count a silent client as lost after this")
		f.Var(command.Value(&o.config.MaxTime, command.ParsePositive(time.Second), "TIME", ""),
			"max-time", "end this long after the start, whoever is not done")
	})
	c.Add("Messages", o.output.Define)
	o.addCheck(c)
	addPack(c)
	addSign(c)
	return c
}

func (o *options) serve(c *command.Command, args []string) error {
	if err := o.setFile(c.Given("file"), args); err != nil {
		return err
	}
	if o.config.File == "" {
		return errors.New("no image: multiserver -f IMAGE")
	}
	if err := o.output.Check(); err != nil {
		return err
	}
	command.SurviveReaders()
	ctx, received, release := command.Signals(context.Background())
	defer release()
	if err := o.resolveControl(ctx); err != nil {
		return err
	}

	report := progress.Options{Program: program, Stderr: os.Stderr, Quiet: o.output.Quiet, Verbose: o.output.Verbose}
	typed := o.waits() && term.IsTerminal(int(os.Stdin.Fd()))
	report.StartHint = "SIGUSR2 begins at once"
	if typed {
		report.StartHint = "Enter or SIGUSR2 begins at once"
	}
	if o.output.JSON {
		report.Records = os.Stdout
	}
	reporter := progress.New(report)
	o.config.Log = command.FlagLogger(reporter.Logger())
	server, err := multiserver.NewServer(o.config)
	if err == nil {
		reporter.FollowServer(func() multiserver.ServerStats { return command.FlagServerStats(server.Stats()) })
		stop := startOnDemand(server.StartNow, typed)
		err = server.Run(ctx)
		stop()
	}
	err = command.FlagError(err)
	status := command.ExitStatus(err, received())
	if errors.Is(err, multiserver.ErrConfig) {
		err = c.Usage(err)
	}
	reporter.End(err, status)
	return command.Ended(status)
}

// waits reports whether the stream is to wait for more than the first client.
func (o *options) waits() bool { return o.config.MinReceivers > 1 || o.config.MinWait > 0 }

// startOnDemand calls start at each SIGUSR2, and at each line that is typed if there is a
// terminal, until stop.
func startOnDemand(start func(), typed bool) (stop func()) {
	// One signal may wait: two ask for the same.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	over := make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case <-signals:
				start()
			}
		}
	}()
	if typed {
		// In the background a read would stop the program: now it fails, and SIGUSR2 is left.
		signal.Ignore(syscall.SIGTTIN)
		go func() { // ends with the program at the latest
			for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
				start()
			}
		}()
	}
	return func() {
		signal.Ignore(syscall.SIGUSR2) // a late one would end the program
		close(over)
	}
}

// setFile takes the image from the arguments if they name one. flagGiven says that -f was
// on the command line. An argument wins over the environment.
func (o *options) setFile(flagGiven bool, args []string) error {
	switch {
	case len(args) > 1:
		return fmt.Errorf("one image at a time: %q is one too many", args[1])
	case len(args) == 1 && flagGiven && args[0] != o.config.File:
		return fmt.Errorf("two images: %q and -f %q", args[0], o.config.File)
	case len(args) == 1:
		o.config.File = args[0]
	}
	return nil
}

// resolveControl looks up the host of -s, if it is a name.
func (o *options) resolveControl(ctx context.Context) error {
	o.config.ControlPort = int(o.endpoint.Port)
	if o.endpoint.Host == "" {
		return nil
	}
	var err error
	if o.config.ControlHost, err = netip.ParseAddr(o.endpoint.Host); err == nil {
		return nil
	}
	network := "ip4"
	if o.config.Group.Is6() {
		network = "ip6"
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, o.endpoint.Host)
	if err != nil || len(addrs) == 0 {
		return fmt.Errorf("-s %s: no address of that name that fits the group (-g): %v", o.endpoint.Host, err)
	}
	o.config.ControlHost = addrs[0].Unmap()
	return nil
}
