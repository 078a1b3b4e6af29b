package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"multiserver"
)

// Command is one of the two programs.
type Command struct {
	cobra   *cobra.Command
	groups  []group
	environ map[string]bool // flags that the environment set
	kernel  map[string]bool // flags that the kernel's command line set
}

// group is a paragraph of the help.
type group struct {
	title string
	flags *pflag.FlagSet
}

// Text is what the help says beside the flags.
type Text struct {
	Program string
	// Kernel: flags are read from the kernel's command line too.
	Kernel   bool
	Examples string // first in the help: the line that everybody types
	Notes    string // below the flags, if there is something to add
	Statuses string // the exit statuses, one a line
}

// New returns a Command without flags. run gets the positional arguments after the
// environment is in the flags, and what the kernel's command line says. An error of it
// that is not from Ended is one of usage.
func New(text Text, run func(c *Command, args []string) error) *Command {
	c := &Command{cobra: &cobra.Command{
		Use:           text.Program,
		Args:          cobra.ArbitraryArgs,
		Version:       versionText(text.Program),
		SilenceErrors: true, SilenceUsage: true,
	}}
	c.cobra.SetVersionTemplate("{{.Version}}")
	c.cobra.SetHelpFunc(func(*cobra.Command, []string) { c.help(c.cobra.OutOrStdout(), text) })
	c.cobra.RunE = func(_ *cobra.Command, args []string) error {
		var err error
		if c.environ, err = fromEnviron(c.cobra.Flags(), text.Program, os.Environ()); err != nil {
			return err
		}
		if text.Kernel {
			if c.kernel, err = fromKernel(c.cobra.Flags(), text.Program, kernelLine(text.Program), c.environ); err != nil {
				return err
			}
		}
		return run(c, args)
	}
	return c
}

// Add adds flags under a title of the help.
func (c *Command) Add(title string, define func(*pflag.FlagSet)) {
	flags := pflag.NewFlagSet(title, pflag.ContinueOnError)
	flags.SortFlags = false
	define(flags)
	c.groups = append(c.groups, group{title, flags})
	c.cobra.Flags().AddFlagSet(flags)
}

// Alias makes one more name for a flag, as users of other programs know it. The
// help of the flag must tell of it.
func (c *Command) Alias(alias, name string) {
	c.cobra.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, given string) pflag.NormalizedName {
		if given == alias {
			given = name
		}
		return pflag.NormalizedName(given)
	})
}

// Given says whether the flag was on the command line, not in the environment or the
// kernel's.
func (c *Command) Given(flag string) bool { return c.cobra.Flags().Changed(flag) }

// Outranks says whether a flag comes from a place that wins over that of the other:
// the command line over the environment, that over the kernel's.
func (c *Command) Outranks(flag, other string) bool { return c.rank(flag) > c.rank(other) }

func (c *Command) rank(flag string) int {
	switch {
	case c.Given(flag):
		return 3
	case c.environ[flag]:
		return 2
	case c.kernel[flag]:
		return 1
	}
	return 0
}

// Execute runs the Command on the program's arguments and returns its exit status.
func (c *Command) Execute() int {
	err := c.cobra.Execute()
	var end ended
	switch {
	case err == nil:
		return exitSuccess
	case errors.As(err, &end):
		return end.status
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", c.cobra.Name(), c.Usage(err))
	return exitUsage
}

// Usage adds to an error of usage where to read on.
func (c *Command) Usage(err error) error {
	return fmt.Errorf("%w (see %s --help)", err, c.cobra.Name())
}

func (c *Command) help(w io.Writer, text Text) {
	fmt.Fprintln(w, strings.Trim(text.Examples, "\n"))
	for _, g := range c.groups {
		fmt.Fprintf(w, "\n%s:\n", g.title)
		g.flags.VisitAll(func(f *pflag.Flag) { fmt.Fprintln(w, flagLine(f)) })
	}
	if text.Notes != "" {
		fmt.Fprintf(w, "\n%s\n", strings.Trim(text.Notes, "\n"))
	}
	prefix := strings.ToUpper(text.Program)
	fmt.Fprintf(w, "\nEach flag has a variable, --interface %s_INTERFACE; the flag wins.\n", prefix)
	if text.Kernel {
		fmt.Fprintf(w, "Then counts the kernel's command line: %s.interface=NAME.\n", text.Program)
	}
	fmt.Fprintf(w, "\nExit status:\n%s\n", strings.Trim(text.Statuses, "\n"))
}

// usageColumn is where the help of each flag begins, in all groups alike.
const usageColumn = 30

// flagLine is one flag's line of the help. pflag's own would tell of each switch
// that it can be [=true|false], and align each group by itself.
func flagLine(f *pflag.Flag) string {
	kind, usage := pflag.UnquoteUsage(f)
	name := "      --" + f.Name
	if f.Shorthand != "" {
		name = "  -" + f.Shorthand + ", --" + f.Name
	}
	if f.NoOptDefVal != "" && kind != "" { // the value may be left out
		return fmt.Sprintf("%-*s%s", usageColumn, name+"[="+kind+"]", usage)
	}
	if f.DefValue != "" && f.DefValue != "false" {
		usage += " (" + f.DefValue + ")"
	}
	return fmt.Sprintf("%-*s%s", usageColumn, name+" "+kind, usage)
}

func versionText(program string) string {
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		revision = revisionText(info.Settings)
	}
	return fmt.Sprintf("%s %s%s\n%s %s/%s\nLicense: GPL-2.0-or-later; this binary, with Apache-2.0 libraries in it, version 3.\nThere is no warranty.\n",
		program, multiserver.Version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// revisionText is " (0123456789ab)", with ", modified" if it was, or "".
func revisionText(settings []debug.BuildSetting) string {
	revision, modified := "", ""
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = ", modified"
			}
		}
	}
	if revision == "" {
		return ""
	}
	return fmt.Sprintf(" (%s%s)", revision, modified)
}
