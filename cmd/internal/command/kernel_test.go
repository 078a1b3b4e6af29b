package command

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestParseKernelLine(t *testing.T) {
	bare := func(name string) parameter { return parameter{name: name} }
	with := func(name, value string) parameter { return parameter{name, value, true} }
	for _, c := range []struct {
		line string
		want []parameter
	}{
		{"", nil},
		{" \t\n", nil},
		{"quiet\n", []parameter{bare("quiet")}},
		{"  a=1   b ", []parameter{with("a", "1"), bare("b")}},
		{"a=", []parameter{with("a", "")}},
		{"a=b=c", []parameter{with("a", "b=c")}},
		{`a="b c"`, []parameter{with("a", "b c")}},
		{`"a=b c"`, []parameter{with("a", "b c")}},
		{`"a b"`, []parameter{bare("a b")}},
		{`a=b" "c`, []parameter{with("a", `b" "c`)}}, // quotes inside stay
		{`a="b" c`, []parameter{with("a", "b"), bare("c")}},
		{`a="b c`, []parameter{with("a", "b c")}}, // to the end
		{`a=""`, []parameter{with("a", "")}},
		{`a="`, []parameter{with("a", "")}},
		{`a='b c'`, []parameter{with("a", "'b"), bare("c'")}}, // single quotes are nothing
		{`a=\"b c\"`, []parameter{with("a", `\"b c\"`)}},      // a quote at the end only
		{"=a", []parameter{bare("=a")}},
		{"a -- b", []parameter{bare("a")}},
		{"a --=1 b", []parameter{bare("a"), with("--", "1"), bare("b")}},
		{"a\xa0b", []parameter{bare("a"), bare("b")}},
	} {
		if got := parseKernelLine(c.line); !slices.Equal(got, c.want) {
			t.Errorf("%q: %+v, want %+v", c.line, got, c.want)
		}
	}
}

// kernelNextArg is lib/cmdline.c of Linux 6.12 word for word, with \0 for what ends a
// string there.
func kernelNextArg(all []parameter, line string) []parameter {
	isSpace := func(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' || b == 0xa0 }
	text := func(b []byte) string { return string(b[:bytes.IndexByte(b, 0)]) }
	args := append([]byte(line), 0, 0)
	for isSpace(args[0]) {
		args = args[1:]
	}
	for args[0] != 0 {
		i, equals, inQuote, quoted := 0, 0, false, false
		if args[0] == '"' {
			args = args[1:]
			inQuote, quoted = true, true
		}
		for i = 0; args[i] != 0; i++ {
			if isSpace(args[i]) && !inQuote {
				break
			}
			if equals == 0 && args[i] == '=' {
				equals = i
			}
			if args[i] == '"' {
				inQuote = !inQuote
			}
		}
		param := args
		var val []byte
		if equals != 0 {
			args[equals] = 0
			val = args[equals+1:]
			if val[0] == '"' {
				val = val[1:]
				if args[i-1] == '"' {
					args[i-1] = 0
				}
			}
		}
		if quoted && i > 0 && args[i-1] == '"' {
			args[i-1] = 0
		}
		if args[i] != 0 {
			args[i] = 0
			args = args[i+1:]
		} else {
			args = args[i:]
		}
		p := parameter{name: text(param)}
		if val != nil {
			p.value, p.hasValue = text(val), true
		}
		for isSpace(args[0]) {
			args = args[1:]
		}
		if p.name == "--" && !p.hasValue {
			return all
		}
		all = append(all, p)
	}
	return all
}

func FuzzParseKernelLine(f *testing.F) {
	for _, s := range []string{`quiet a=1 "b=2 3" c="4 5" -- d`, `"`, `""`, `a=""b`, `"a="`, `=`, `"a="b c""`, "a\xa0b", `a="`, `"=""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsRune(line, 0) {
			return // ends a string there
		}
		if got, want := parseKernelLine(line), kernelNextArg(nil, line); !slices.Equal(got, want) {
			t.Fatalf("%q: %+v, the kernel has %+v", line, got, want)
		}
	})
}

func TestKernelLine(t *testing.T) {
	for _, c := range []struct {
		name    string
		args    []string
		environ []string
		line    string
		output  string
		force   bool
		retry   string
		err     string // part of the error
	}{
		{name: "nothing", line: "quiet root=/dev/nfs multiclients.x=1 multiclient xmulticlient.force"},
		{name: "a word each", line: `quiet multiclient.output="/dev/sda" multiclient.force multiclient.retry=3`, output: "/dev/sda", force: true, retry: "3"},
		{name: "the whole word quoted", line: `"multiclient.output=a b"`, output: "a b"},
		{name: "without its value", line: "multiclient.retry", retry: "forever"},
		{name: "underscore", line: "multiclient.post_command=x", output: "x"},
		{name: "dash", line: "multiclient.post-command=x", output: "x"},
		{name: "the last counts", line: "multiclient.output=a multiclient.output=b", output: "b"},
		{name: "an empty one is unset", line: "multiclient.output=", output: ""},
		{name: "a flag wins", args: []string{"--output=c"}, line: "multiclient.output=a", output: "c"},
		{name: "the environment wins", environ: []string{"MULTICLIENT_OUTPUT=b"}, line: "multiclient.output=a", output: "b"},
		{name: "a flag wins over nonsense", args: []string{"--force=false"}, line: "multiclient.force=maybe"},
		{name: "what is init's is not ours", line: "a -- multiclient.output=a"},
		{name: "unknown", line: "multiclient.outptu=a", err: "the kernel's command line, multiclient.outptu=a: there is no such flag"},
		{name: "no flag of the kernel", line: "multiclient.help", err: "multiclient.help: there is no such flag"},
		{name: "a value is missing", line: "multiclient.output", err: "the kernel's command line, multiclient.output: it needs a value"},
		{name: "a bad value", line: "multiclient.force=maybe", err: "the kernel's command line, multiclient.force=maybe: "},
	} {
		var output, retry string
		var force bool
		command := New(Text{Name: "multiclient"}, nil)
		command.Alias("post-command", "output")
		command.Add("All", func(f *pflag.FlagSet) {
			f.StringVar(&output, "output", "", "")
			f.BoolVar(&force, "force", false, "")
			f.StringVar(&retry, "retry", "", "")
			f.Lookup("retry").NoOptDefVal = "forever"
		})
		flags := command.Flags()
		if err := flags.Parse(c.args); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		environ, err := fromEnviron(flags, "multiclient", c.environ)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_, err = fromKernel(flags, "multiclient", c.line, environ)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if output != c.output || force != c.force || retry != c.retry {
			t.Errorf("%s: %q, %v, %q; want %q, %v, %q", c.name, output, force, retry, c.output, c.force, c.retry)
		}
	}
}

// The command line outranks the environment, and that the kernel's.
func TestOutranks(t *testing.T) {
	c := New(Text{Name: "multiclient"}, nil)
	c.Add("All", func(f *pflag.FlagSet) {
		for _, name := range []string{"given", "environ", "kernel", "unset"} {
			f.String(name, "", "")
		}
	})
	if err := c.Flags().Parse([]string{"--given=1"}); err != nil {
		t.Fatal(err)
	}
	c.environ, c.kernel = map[string]bool{"environ": true}, map[string]bool{"kernel": true}
	order := []string{"given", "environ", "kernel", "unset"}
	for i, a := range order {
		for j, b := range order {
			if c.Outranks(a, b) != (i < j) {
				t.Errorf("%s over %s: %v", a, b, i >= j)
			}
		}
	}
}
