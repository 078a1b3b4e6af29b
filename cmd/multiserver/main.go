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
`

const statuses = `
  1      failure while serving
  2      usage
  128+n  ended by signal n and nothing went wrong: 130 after Ctrl-C`

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
			"group", "g", "the stream's group")
		f.VarP(command.Value(&o.config.Port, command.ParsePort, "PORT", strconv.Itoa(multiserver.DefaultPort)),
			"port", "p", "the stream's UDP port")
		f.VarP(command.Value(&o.endpoint, command.ParseEndpoint, "[HOST:]PORT", strconv.Itoa(multiserver.DefaultControlPort)),
			"control", "s", "where clients ask; HOST alone will do")
		f.StringVarP(&o.config.Interface, "interface", "i", "", "use only the interface of this `NAME`")
		f.Var(command.Value(&o.config.TTL, command.ParseTTL, "N", strconv.Itoa(multiserver.DefaultTTL)),
			"ttl", "routers that may be passed, plus one")
		f.Var(command.Value(&o.config.RateBitsPerSec, command.ParseRate, "BITS", ""),
			"rate", "bits/s at most: 900M, 1G; or --max-bitrate")
		f.VarP(command.Value(&o.config.Delay, command.ParseDuration(time.Nanosecond), "TIME", ""),
			"delay", "d", "pause after each packet: 50us; bare in ns")
	})
	c.Add("Messages", o.output.Define)
	return c.Execute()
}

func (o *options) run(c *command.Command, args []string) error {
	if err := o.takeFile(c.Given("file"), args); err != nil {
		return err
	}
	if err := o.output.Check(); err != nil {
		return err
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

// takeControl looks up the host of -s.
func (o *options) takeControl(ctx context.Context) error {
	o.config.ControlPort = o.endpoint.Port
	if o.endpoint.Host == "" {
		return nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", o.endpoint.Host)
	if err != nil || len(addrs) == 0 {
		return fmt.Errorf("-s %s: no IPv4 address of that name: %v", o.endpoint.Host, err)
	}
	o.config.ControlHost = netip.Addr.Unmap(addrs[0])
	return nil
}
