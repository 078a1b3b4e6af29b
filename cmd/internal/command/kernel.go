package command

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// kernelVariable names a file to read instead of the kernel's command line. In a container
// that line is the host's, and tests must not depend on it.
const kernelVariable = "KERNEL_CMDLINE"

// kernelLine is the kernel's command line, "" if there is none to be read.
func kernelLine(program string) string {
	text, err := os.ReadFile(cmp.Or(os.Getenv(strings.ToUpper(program)+"_"+kernelVariable), "/proc/cmdline"))
	if err != nil {
		return ""
	}
	return string(text)
}

// fromKernel sets each flag that was not given, and that is not in environ, from the
// kernel's command line: --post-command of multiclient is multiclient.post-command=CMD
// or multiclient.post_command=CMD there, and a switch needs no value. Of two the last
// counts. Empty values count as unset. set has the names of the flags that it set. The
// error names the word.
func fromKernel(flags *pflag.FlagSet, program, line string, environ map[string]bool) (set map[string]bool, err error) {
	type word struct{ text, value string }
	words := map[*pflag.Flag]word{}
	fail := func(w word, err error) error {
		return fmt.Errorf("the kernel's command line, %s: %w", w.text, err)
	}
	for _, p := range parseKernelLine(line) {
		key, ours := strings.CutPrefix(p.name, program+".")
		if !ours {
			continue
		}
		w := word{p.name, p.value}
		if p.hasValue {
			w.text += "=" + p.value
		}
		flag := flags.Lookup(strings.ReplaceAll(key, "_", "-"))
		switch {
		case flag == nil || flag.Name == "help" || flag.Name == "version":
			return nil, fail(w, errors.New("there is no such flag"))
		case p.hasValue:
		case flag.NoOptDefVal == "":
			return nil, fail(w, errors.New("it needs a value"))
		default:
			w.value = flag.NoOptDefVal
		}
		words[flag] = w
	}
	set = map[string]bool{}
	flags.VisitAll(func(flag *pflag.Flag) {
		w := words[flag]
		if err != nil || w.value == "" || flag.Changed || environ[flag.Name] {
			return
		}
		if e := flag.Value.Set(w.value); e != nil {
			err = fail(w, e)
		}
		set[flag.Name] = true
	})
	return set, err
}

// parameter is one word of the kernel's command line.
type parameter struct {
	name, value string
	hasValue    bool // there was an equals sign
}

// parseKernelLine takes a command line apart as the kernel does (lib/cmdline.c,
// next_arg): blanks within double quotes do not end a word, and quotes around a value
// or a whole word are taken off; there is no escape. A lone -- ends it: what follows is
// for the first process.
func parseKernelLine(line string) (all []parameter) {
	for {
		for line != "" && isKernelBlank(line[0]) {
			line = line[1:]
		}
		if line == "" {
			return all
		}
		quoted := line[0] == '"'
		if quoted {
			line = line[1:]
		}
		inQuote, equals, end := quoted, 0, 0
		for ; end < len(line) && (inQuote || !isKernelBlank(line[end])); end++ {
			switch line[end] {
			case '=':
				if equals == 0 { // as there, one at the very beginning does not count
					equals = end
				}
			case '"':
				inQuote = !inQuote
			}
		}
		word := line[:end]
		line = line[end:]
		var p parameter
		if equals > 0 {
			p.hasValue, p.value = true, word[equals+1:]
			if value, ok := strings.CutPrefix(p.value, `"`); ok {
				p.value = strings.TrimSuffix(value, `"`)
			} else if quoted {
				p.value = strings.TrimSuffix(p.value, `"`)
			}
			p.name = word[:equals]
		} else {
			p.name = word
			if quoted {
				p.name = strings.TrimSuffix(word, `"`)
			}
		}
		if p.name == "--" && !p.hasValue {
			return all
		}
		all = append(all, p)
	}
}

// isKernelBlank is isspace of lib/ctype.c.
func isKernelBlank(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' || b == 0xa0 }
