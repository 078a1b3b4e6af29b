// Package quote makes text that comes from elsewhere harmless in a message: names of files,
// images and hosts may hold line feeds, escape sequences of a terminal, and bytes that are no
// UTF-8. Whoever puts a name into a message calls Name. Whoever prints a message calls Line,
// for what was forgotten and for what the system says.
package quote

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Name returns s if it can be printed as it is, and otherwise s as strconv.Quote has it. One
// that begins with a quotation mark is quoted, so that no name looks like another's quotation.
func Name(s string) string {
	if strings.HasPrefix(s, `"`) || !isPrintable(s) {
		return strconv.Quote(s)
	}
	return s
}

// Line makes one line of s. Line feeds, which join errors, become semicolons, and whatever else
// cannot be printed is escaped as strconv.Quote does. It changes nothing in its own result.
func Line(s string) string {
	s = strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "; ")
	return escape(s)
}

// Lines is Line for text whose lines are meant.
func Lines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = escape(lines[i])
	}
	return strings.Join(lines, "\n")
}

// Error is err with the path in it as Name has it, if it is one of package os or io/fs.
func Error(err error) error {
	var p *fs.PathError
	if !errors.As(err, &p) || Name(p.Path) == p.Path {
		return err
	}
	return &fs.PathError{Op: p.Op, Path: Name(p.Path), Err: p.Err}
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, isControl) < 0
}

func isControl(r rune) bool { return !unicode.IsPrint(r) }

func escape(s string) string {
	if isPrintable(s) {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) {
			quoted := strconv.Quote(s[:n])
			b = append(b, quoted[1:len(quoted)-1]...)
		} else {
			b = append(b, s[:n]...)
		}
		s = s[n:]
	}
	return string(b)
}
