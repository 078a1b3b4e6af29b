package main

import (
	"context"

	"multiserver"
	"multiserver/cmd/internal/command"
)

const checkExamples = `
multiclient check looks for a server and tests the way to it: network interface,
multicast, packet loss, packet size, firewall. It writes nothing, and the server
does not count it as a client.

  multiclient check                   look for a server in this network
  multiclient check -s 10.0.0.1       ask this one
  multiclient check -i eth1           through this interface
`

const checkNotes = `
All other flags of multiclient are accepted and change nothing: to check a
command line, put the word check into it.`

// addCheck adds the subcommand check, with those flags in its help that it looks at.
func (o *options) addCheck(main *command.Command) {
	main.Subcommand(command.CheckText("find out why the image does not arrive", checkExamples, checkNotes), o.check).Inherit(
		"server", "group", "port", "from-port", "interface", "mxb1",
		"quiet", "json", "help")
}

func (o *options) check(c *command.Command, args []string) error {
	if err := o.validate(c, args); err != nil {
		return err
	}
	return o.output.Diagnose(func(ctx context.Context, tell func(multiserver.Finding)) error {
		return multiserver.CheckClient(ctx, o.config, tell)
	})
}
