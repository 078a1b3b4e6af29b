package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"multiserver/internal/quote"
)

// Command is what a program does without a word, or one of its subcommands.
type Command struct {
	text   Text
	run    func(c *Command, args []string) error
	flags  *pflag.FlagSet
	groups []group // for the help, in this order

	main        *Command   // itself, unless it is a subcommand
	subcommands []*Command // of the main command
	// inherits: a subcommand takes the main command's flags, their variables and the
	// kernel's command line.
	inherits bool

	given   map[*pflag.Flag]string // values on the command line; the main command's
	environ map[string]bool        // flags that the environment set
	kernel  map[string]bool        // flags that the kernel's command line set
}

// group is a paragraph of the help.
type group struct {
	title string
	flags *pflag.FlagSet
}

// Text is the name of a Command and what its help says beside the flags.
type Text struct {
	Name string // the program's, or the subcommand's word
	// Kernel: the program reads flags from the kernel's command line too.
	Kernel   bool
	Summary  string // of a subcommand, for the main command's help: half a line
	Examples string // first in the help: the line that everybody types
	Notes    string // below the flags, if there is something to add
	Statuses string // the exit statuses, one a line
}

// New returns a program's main Command, without flags. run gets the positional arguments
// after the environment and the kernel's command line are in the flags. An error of it
// that is not from Ended is one of usage.
func New(text Text, run func(c *Command, args []string) error) *Command {
	c := &Command{text: text, run: run, flags: newFlagSet(text.Name)}
	c.main = c
	return c
}

// Subcommand adds a command that text.Name asks for, as the first argument that is no
// flag. It has no flags yet but --help; run is as in New.
func (c *Command) Subcommand(text Text, run func(c *Command, args []string) error) *Command {
	sub := &Command{text: text, run: run, flags: newFlagSet(text.Name), main: c}
	c.subcommands = append(c.subcommands, sub)
	return sub
}

func newFlagSet(name string) *pflag.FlagSet {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() {}
	return flags
}

// Add adds flags under a title of the help.
func (c *Command) Add(title string, define func(*pflag.FlagSet)) {
	flags := newFlagSet(title)
	define(flags)
	c.groups = append(c.groups, group{title, flags})
	c.flags.AddFlagSet(flags)
}

// Inherit lets a subcommand take all flags that the main command has by now, before its
// word and after it. Its help shows those that are named here.
func (c *Command) Inherit(shown ...string) {
	c.inherits = true
	c.flags.SetNormalizeFunc(c.main.flags.GetNormalizeFunc())
	c.flags.AddFlagSet(c.main.flags)
	for _, g := range c.main.groups {
		flags := newFlagSet(g.title)
		for _, name := range shown {
			if f := g.flags.Lookup(name); f != nil {
				flags.AddFlag(f)
			}
		}
		if flags.HasFlags() {
			c.groups = append(c.groups, group{g.title, flags})
		}
	}
}

// Alias makes one more name for a flag, as users of other programs know it. The
// help of the flag must tell of it.
func (c *Command) Alias(alias, name string) {
	c.flags.SetNormalizeFunc(func(_ *pflag.FlagSet, given string) pflag.NormalizedName {
		if given == alias {
			given = name
		}
		return pflag.NormalizedName(given)
	})
}

// Flags are all flags of the Command. Only tests of other packages ask.
func (c *Command) Flags() *pflag.FlagSet { return c.flags }

// Given reports whether the flag was on the command line, not in the environment or the
// kernel's.
func (c *Command) Given(flag string) bool { return c.flags.Changed(flag) }

// Outranks reports whether a flag comes from a place that wins over that of the other:
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

// Execute runs the program on its arguments, without its name, and returns the exit
// status.
func (c *Command) Execute(args []string) int {
	limitMemory()
	chosen, args, err := c.choose(args)
	if err == nil {
		err = chosen.execute(args)
	}
	var end ended
	switch {
	case err == nil:
		return exitSuccess
	case errors.As(err, &end):
		return end.status
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", c.text.Name, quote.Line(chosen.Usage(err).Error()))
	return exitUsage
}

// choose parses the flags and returns the command that is asked for, which is the main
// command if the first argument is no subcommand's word, and its arguments.
func (c *Command) choose(args []string) (chosen *Command, rest []string, err error) {
	// Up to the first argument only: what follows a subcommand's word may be a flag that
	// the main command does not have.
	c.flags.SetInterspersed(false)
	c.given = map[*pflag.Flag]string{}
	if err := c.parse(args); err != nil {
		return c, nil, err
	}
	rest = c.flags.Args()
	if len(rest) == 0 || c.flags.ArgsLenAtDash() >= 0 { // a word after -- is no subcommand
		return c, rest, nil
	}
	chosen = c
	for _, sub := range c.subcommands {
		if sub.text.Name == rest[0] {
			chosen, rest = sub, rest[1:]
			break
		}
	}
	c.flags.Visit(func(f *pflag.Flag) {
		if err == nil && f.Name != "help" && chosen.flags.Lookup(f.Name) != f {
			err = fmt.Errorf("--%s stands before %s, which has no such flag", f.Name, chosen.text.Name)
		}
	})
	if err != nil {
		return chosen, nil, err
	}
	chosen.flags.SetInterspersed(true)
	err = chosen.parse(rest)
	if errors.Is(err, pflag.ErrHelp) { // of a subcommand that does not define the flag
		return chosen, nil, c.flags.Set("help", "true")
	}
	return chosen, chosen.flags.Args(), err
}

// parse sets the flags. One that is given twice with different values is an error: whoever
// does that expects two of them, or does not know which one counts.
func (c *Command) parse(args []string) error {
	return c.flags.ParseAll(args, func(flag *pflag.Flag, value string) error {
		if was, twice := c.main.given[flag]; twice && was != value {
			return fmt.Errorf("--%s is given twice, as %q and as %q: it takes one value", flag.Name, was, value)
		}
		c.main.given[flag] = value
		return c.flags.Set(flag.Name, value)
	})
}

// execute runs what was chosen. Help wins over whatever is wrong with the environment.
func (c *Command) execute(args []string) (err error) {
	switch {
	case c.main.flags.Changed("help"):
		c.help(os.Stdout)
		return nil
	case c.flags.Changed("version"):
		_, err := io.WriteString(os.Stdout, versionText(c.main.text.Name))
		return err
	}
	if c == c.main || c.inherits {
		program, flags := c.main.text, c.main.flags
		if c.environ, err = fromEnviron(flags, program.Name, os.Environ()); err != nil {
			return err
		}
		if program.Kernel {
			if c.kernel, err = fromKernel(flags, program.Name, kernelLine(program.Name), c.environ); err != nil {
				return err
			}
		}
	}
	return c.run(c, args)
}

// Usage adds to an error of usage where to read on.
func (c *Command) Usage(err error) error {
	return fmt.Errorf("%w (see %s --help)", err, c.title())
}

// title is how the Command is called: "multiclient check".
func (c *Command) title() string {
	if c == c.main {
		return c.text.Name
	}
	return c.main.text.Name + " " + c.text.Name
}

func (c *Command) help(w io.Writer) {
	fmt.Fprintln(w, strings.Trim(c.text.Examples, "\n"))
	if len(c.subcommands) > 0 {
		fmt.Fprintf(w, "\nCommands (%s COMMAND --help tells more):\n", c.text.Name)
		for _, sub := range c.subcommands {
			fmt.Fprintf(w, "%-*s%s\n", usageColumn, "  "+sub.text.Name, sub.text.Summary)
		}
	}
	for _, g := range c.groups {
		fmt.Fprintf(w, "\n%s:\n", g.title)
		g.flags.VisitAll(func(f *pflag.Flag) { fmt.Fprintln(w, flagLine(f)) })
	}
	if c.text.Notes != "" {
		fmt.Fprintf(w, "\n%s\n", strings.Trim(c.text.Notes, "\n"))
	}
	if program := c.main.text; c == c.main || c.inherits {
		fmt.Fprintf(w, "\nEach flag has a variable, --interface %s_INTERFACE; the flag wins.\n", strings.ToUpper(program.Name))
		if program.Kernel {
			fmt.Fprintf(w, "The kernel's command line comes last: %s.interface=NAME.\n", program.Name)
		}
	}
	fmt.Fprintf(w, "\nExit status:\n%s\n", strings.Trim(c.text.Statuses, "\n"))
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
