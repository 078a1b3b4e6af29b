package command

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// tree is a program with a subcommand that inherits its flags, and one that does not.
func tree() (main, check, sign *Command) {
	main = New(Text{Name: "multiclient"}, nil)
	main.Alias("to", "output")
	main.Add("All", func(f *pflag.FlagSet) {
		f.StringP("output", "o", "", "")
		f.BoolP("verbose", "v", false, "")
		f.String("retry", "", "")
		f.Lookup("retry").NoOptDefVal = "forever"
		f.BoolP("help", "h", false, "")
	})
	check = main.Subcommand(Text{Name: "check"}, nil)
	check.Inherit("output")
	sign = main.Subcommand(Text{Name: "sign"}, nil)
	sign.Add("All", func(f *pflag.FlagSet) { f.StringP("secret", "k", "", "") })
	return main, check, sign
}

// TestChoose: which command line means which command, and what is left of it.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		args    string
		command string
		rest    string
		output  string
		err     string // part of it
	}{
		{args: "", command: "multiclient"},
		{args: "x", command: "multiclient", rest: "x"},
		{args: "x -o y check", command: "multiclient", rest: "x check", output: "y"},
		{args: "-o check", command: "multiclient", output: "check"},
		{args: "-vo check", command: "multiclient", output: "check"},
		{args: "-ocheck", command: "multiclient", output: "check"},
		{args: "--output=check", command: "multiclient", output: "check"},
		{args: "-- check", command: "multiclient", rest: "check"},
		{args: "-o y -- check", command: "multiclient", rest: "check", output: "y"},
		{args: "./check", command: "multiclient", rest: "./check"},
		{args: "Check", command: "multiclient", rest: "Check"},
		{args: "check", command: "check"},
		{args: "-o y check", command: "check", output: "y"},
		{args: "-o y -v check", command: "check", output: "y"},
		{args: "check -o y", command: "check", output: "y"},
		{args: "-o x check -o y", command: "check", err: `--output is given twice, as "x" and as "y"`},
		{args: "-o y check -o y", command: "check", output: "y"},
		{args: "-o x -o y", command: "multiclient", err: `--output is given twice, as "x" and as "y": it takes one value`},
		{args: "-o x --to y", command: "multiclient", err: `--output is given twice, as "x" and as "y"`},
		{args: "-o x --output= z", command: "multiclient", err: `--output is given twice, as "x" and as ""`},
		{args: "-o y --output=y -vv -v z", command: "multiclient", rest: "z", output: "y"},
		{args: "-v --verbose=false", command: "multiclient", err: `--verbose is given twice, as "true" and as "false"`},
		{args: "--retry --retry=3", command: "multiclient", err: `--retry is given twice, as "forever" and as "3"`},
		{args: "check --to y", command: "check", output: "y"},
		{args: "--retry check", command: "check"},
		{args: "check x -v y", command: "check", rest: "x y"},
		{args: "check -- -v", command: "check", rest: "-v"},
		{args: "check check", command: "check", rest: "check"},
		{args: "check --nonsense", command: "check", err: "unknown flag: --nonsense"},
		{args: "--nonsense check", command: "multiclient", err: "unknown flag: --nonsense"},
		{args: "sign -k key x", command: "sign", rest: "x"},
		{args: "-o y sign", command: "sign", err: "--output stands before sign, which has no such flag"},
		{args: "sign -o y", command: "sign", err: "unknown shorthand flag: 'o'"},
		{args: "-k key sign", command: "multiclient", err: "unknown shorthand flag: 'k'"},
	} {
		main, _, _ := tree()
		chosen, rest, err := main.choose(strings.Fields(c.args))
		if chosen.text.Name != c.command {
			t.Errorf("%q: %s, want %s", c.args, chosen.text.Name, c.command)
		}
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.args, err, c.err)
			}
			continue
		}
		if err != nil || !slices.Equal(rest, strings.Fields(c.rest)) {
			t.Errorf("%q: rest %q, error %v; want %q", c.args, rest, err, c.rest)
		}
		if got, _ := main.Flags().GetString("output"); got != c.output {
			t.Errorf("%q: --output %q, want %q", c.args, got, c.output)
		}
	}
}

// TestHelpAsked: before the word and after it, of each kind of command.
func TestHelpAsked(t *testing.T) {
	for _, c := range []struct{ args, command string }{
		{"-h", "multiclient"}, {"x --help", "multiclient"}, {"check -h", "check"}, {"-h check", "check"},
		{"sign --help", "sign"}, {"--help sign", "sign"}, {"sign -h -k x", "sign"},
	} {
		main, _, _ := tree()
		chosen, _, err := main.choose(strings.Fields(c.args))
		if err != nil || chosen.text.Name != c.command || !main.Flags().Changed("help") {
			t.Errorf("%q: %s, %v; want the help of %s", c.args, chosen.text.Name, err, c.command)
		}
	}
}

// TestSubcommandHelp: an inheriting command shows the flags that it names, and only such
// a one speaks of variables.
func TestSubcommandHelp(t *testing.T) {
	_, check, sign := tree()
	for _, c := range []struct {
		command *Command
		has     []string
		lacks   []string
	}{
		{check, []string{"  -o, --output string", "MULTICLIENT_INTERFACE"}, []string{"--verbose"}},
		{sign, []string{"  -k, --secret string"}, []string{"--output", "MULTICLIENT_"}},
		{check.main, []string{"\n  check ", "\n  sign "}, []string{"--secret"}},
	} {
		var b strings.Builder
		c.command.help(&b)
		for _, part := range c.has {
			if !strings.Contains(b.String(), part) {
				t.Errorf("%s: %q is not in %s", c.command.title(), part, b.String())
			}
		}
		for _, part := range c.lacks {
			if strings.Contains(b.String(), part) {
				t.Errorf("%s: %q is in %s", c.command.title(), part, b.String())
			}
		}
	}
}

func TestSuggest(t *testing.T) {
	main, check, _ := tree()
	for word, want := range map[string]string{
		"check": "multiclient check", "chekc": "multiclient check", "chek": "multiclient check", "checks": "multiclient check",
		"Check": "multiclient check", "sing": "multiclient sign", "signal": "multiclient sign",
		"": "", "x": "", "si": "", "/dev/sda": "", "disk.img": "", "chicken": "",
	} {
		if got := main.Suggest(word); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
		if got := check.Suggest(word); got != want {
			t.Errorf("%q to a subcommand: %q, want %q", word, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "ab", 1},
		{"abc", "xabc", 1}, {"ab", "ba", 2}, {"kitten", "sitting", 3}, {"saturday", "sunday", 3},
	} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
