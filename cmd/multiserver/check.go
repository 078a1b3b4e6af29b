package main

import (
	"context"

	"multiserver"
	"multiserver/cmd/internal/command"
)

const checkExamples = `
multiserver check looks at this machine before it serves: image, network
interface, port, rate, firewall. It sends nothing and changes nothing.

  multiserver check                       all but the image
  multiserver check -f x.img              the image as well
  multiserver check -i eth1 --mtu 9000    as it would be served
`

const checkNotes = `
All other flags of multiserver are accepted and change nothing: to check a
command line, put the word check into it. Serve a file called check as ./check
or with -f check.`

// addCheck adds the subcommand check, with those flags in its help that it looks at.
func (o *options) addCheck(main *command.Command) {
	main.Subcommand(command.CheckText("find out why clients do not get the image", checkExamples, checkNotes), o.check).Inherit(
		"file", "group", "port", "control", "interface", "ttl", "data-group", "mtu", "rate", "delay",
		"quiet", "json", "help")
}

func (o *options) check(c *command.Command, args []string) error {
	if err := o.setFile(c.Given("file"), args); err != nil {
		return err
	}
	if err := o.output.Check(); err != nil {
		return err
	}
	if err := o.resolveControl(context.Background()); err != nil {
		return err
	}
	return o.output.Diagnose(func(ctx context.Context, tell func(multiserver.Finding)) error {
		return multiserver.CheckServer(ctx, o.config, tell)
	})
}
