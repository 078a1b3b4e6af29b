// Multiserver multicasts a disk image to any number of multiclients.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"

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
  multiserver --min-receivers 30 x.img    wait for 30 clients, then begin
  multiserver --exit-after-done x.img     end when all that came are done
  multiserver check -f x.img              say what stands in the way
`

const statuses = `
  0      --exit-after-done, and every client that came has the image
  1      failure while serving; with check, something is WRONG
  2      usage
  7      --exit-after-done, and not every client that came has the image
  128+n  ended by signal n and nothing went wrong: 130 after Ctrl-C`

const (
	// minMTU is what every host takes (RFC 791 §3.1); maxMTU is the largest of common
	// network cards.
	minMTU, maxMTU = 576, 9216
	// defaultMTU is what every Ethernet takes.
	defaultMTU = 1500
	// maxMinReceivers is as many as the server keeps a table of.
	maxMinReceivers = 4096
)

// options are the flags.
type options struct {
	config   multiserver.ServerConfig
	endpoint command.Endpoint
	output   command.Output
}

func main() { os.Exit(execute()) }

func execute() int {
	var o options
	c := command.New(command.Text{Program: program, Examples: examples, Statuses: statuses}, o.run)
	c.Alias("max-bitrate", "rate")
	c.Add("What to serve", func(f *pflag.FlagSet) {
		f.StringVarP(&o.config.File, "file", "f", "", "`IMAGE` to serve, file or device; -f is optional")
	})
	c.Add("Network", func(f *pflag.FlagSet) {
		f.VarP(command.Value(&o.config.Group, command.ParseGroup, "ADDRESS", multiserver.DefaultGroup.String()),
			"group", "g", "the stream's group, IPv4 or IPv6")
		f.VarP(command.Value(&o.config.Port, command.ParsePort, "PORT", strconv.Itoa(multiserver.DefaultPort)),
			"port", "p", "the stream's UDP port")
		f.VarP(command.Value(&o.endpoint, command.ParseEndpoint, "[HOST:]PORT", strconv.Itoa(multiserver.DefaultControlPort)),
			"control", "s", "where clients ask; HOST alone will do")
		f.StringVarP(&o.config.Interface, "interface", "i", "", "use only the interface of this `NAME`")
		f.Var(command.Value(&o.config.TTL, command.ParseWithin(1, 255), "N", strconv.Itoa(multiserver.DefaultTTL)),
			"ttl", "routers that may be passed, plus one")
		f.Var(command.Value(&o.config.DataGroup, command.ParseGroup, "ADDRESS", ""),
			"data-group", "the MXB 2 stream's group; else the image's own")
		f.Var(command.Value(&o.config.MTU, command.ParseWithin(minMTU, maxMTU), "N", strconv.Itoa(defaultMTU)),
			"mtu", "bytes in a packet, 9000 for jumbo frames")
		f.Var(command.Value(&o.config.Unicast, command.ParseUnicast, "WHEN", "auto"),
			"unicast", "if no multicast comes: auto, always, never")
		f.Var(command.Value(&o.config.RateBitsPerSec, command.ParseRate, "BITS", ""),
			"rate", "bits/s at most: 900M, 1G; or --max-bitrate")
		f.VarP(command.Value(&o.config.Delay, command.ParseDuration(time.Nanosecond), "TIME", ""),
			"delay", "d", "pause after each packet: 50us; bare in ns")
	})
	c.Add("Start and end", func(f *pflag.FlagSet) {
		f.Var(command.Value(&o.config.MinReceivers, command.ParseWithin(1, maxMinReceivers), "N", ""),
			"min-receivers", "begin when this many clients are there")
		f.Var(command.Value(&o.config.MinWait, command.ParseDuration(time.Second), "TIME", ""),
			"min-wait", "wait this long after the first one; bare in s")
		f.Var(command.Value(&o.config.MaxWait, command.ParseDuration(time.Second), "TIME", ""),
			"max-wait", "wait no longer, whoever is there; bare in s")
		f.BoolVar(&o.config.ExitAfterDone, "exit-after-done", false, "end when all clients that came are done or gone")
	})
	c.Add("Messages", o.output.Define)
	return c.Execute()
}

func (o *options) run(c *command.Command, args []string) error {
	checking := len(args) > 0 && args[0] == command.CheckArgument
	if checking {
		args = args[1:]
	}
	if !checking || len(args) > 0 || o.config.File != "" {
		if err := o.takeFile(c.Given("file"), args); err != nil {
			return err
		}
	}
	if err := o.output.Check(); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if checking {
		if err := o.takeControl(context.Background()); err != nil {
			return err
		}
		return o.output.Diagnose(func(ctx context.Context, tell func(multiserver.Finding)) error {
			return multiserver.CheckServer(ctx, o.config, tell)
		})
	}
	ctx, received, release := command.Signals(context.Background())
	defer release()
	if err := o.takeControl(ctx); err != nil {
		return err
	}

	report := progress.Options{Program: program, Stderr: os.Stderr, Quiet: o.output.Quiet, Verbose: o.output.Verbose}
	if o.output.JSON {
		report.Records = os.Stdout
	}
	reporter := progress.New(report)
	o.config.Log = reporter.Logger()
	server, err := multiserver.NewServer(o.config)
	if err == nil {
		reporter.FollowServer(server.Stats)
		err = server.Run(ctx)
	}
	status := command.ExitStatus(err, received())
	if errors.Is(err, multiserver.ErrConfig) {
		err = c.Usage(err)
	}
	reporter.End(err, status)
	return command.Ended(status)
}

// takeFile settles what is served; flagGiven says that -f was on the command line.
// An argument wins over the environment.
func (o *options) takeFile(flagGiven bool, args []string) error {
	switch {
	case len(args) > 1:
		return fmt.Errorf("one image at a time: %q is one too many", args[1])
	case len(args) == 1 && flagGiven && args[0] != o.config.File:
		return fmt.Errorf("two images: %q and -f %q", args[0], o.config.File)
	case len(args) == 1:
		o.config.File = args[0]
	}
	if o.config.File == "" {
		return errors.New("no image: multiserver -f IMAGE")
	}
	return nil
}

// check returns an error of usage: flags that contradict each other.
func (o *options) check() error {
	group := o.config.Group
	if !group.IsValid() {
		group = multiserver.DefaultGroup
	}
	switch {
	case o.config.DataGroup == group:
		// Original clients would take one stream for the other.
		return fmt.Errorf("--data-group %s is --group as well: the two streams need a group each", group)
	case o.config.MaxWait > 0 && o.config.MinWait > o.config.MaxWait:
		return fmt.Errorf("--min-wait %s is longer than --max-wait %s", o.config.MinWait, o.config.MaxWait)
	}
	return nil
}

// takeControl looks up the host of -s.
func (o *options) takeControl(ctx context.Context) error {
	o.config.ControlPort = o.endpoint.Port
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
