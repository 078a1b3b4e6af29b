package quote

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestName(t *testing.T) {
	for name, want := range map[string]string{
		"":                  "",
		"debian 12.img":     "debian 12.img",
		"größe.img":         "größe.img",
		`a\nb`:              `a\nb`,
		"a\nb\x1b[2J\xff":   `"a\nb\x1b[2J\xff"`,
		"left\u202eright":   `"left\u202eright"`,
		`"a"`:               `"\"a\""`,
		"csi\u009b2J":       `"csi\u009b2J"`,
		"\xed\xa0\x80.img":  `"\xed\xa0\x80.img"`,
		"replaced\ufffdimg": "replaced\ufffdimg",
	} {
		if got := Name(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"sync: failed\nclose: failed\n":  "sync: failed; close: failed",
		"a\x1b[2Jb\rc\u202e\xff":         `a\x1b[2Jb\rc\u202e\xff`,
		Name("a\nb") + " is refused":     `"a\nb" is refused`,
		"open /mnt/größe: it's \"full\"": "open /mnt/größe: it's \"full\"",
	} {
		if got := Line(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := Lines("a\x1b\nb\n"); got != "a\\x1b\nb\n" {
		t.Errorf("lines: %q", got)
	}
}

func TestError(t *testing.T) {
	_, err := os.Open("no\nsuch\x1b file")
	got := Error(fmt.Errorf("open image: %w", err))
	if want := `open "no\nsuch\x1b file": no such file or directory`; got.Error() != want || !errors.Is(got, fs.ErrNotExist) {
		t.Errorf("%v, want %s", got, want)
	}
	if plain := errors.New("other"); Error(plain) != plain {
		t.Error("an error without a path is another now")
	}
}

// FuzzQuote: whatever a name is, it prints as one line, and can be told back.
func FuzzQuote(f *testing.F) {
	f.Add("a\nb\x1b[2J\xff")
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, shown := range []string{Name(s), Line(s)} {
			if !utf8.ValidString(shown) || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is shown as %q", s, shown)
			}
			if Line(shown) != shown {
				t.Errorf("%q changes again: %q", shown, Line(shown))
			}
		}
		shown := Name(s)
		if back, err := strconv.Unquote(shown); strings.HasPrefix(shown, `"`) && (err != nil || back != s) || !strings.HasPrefix(shown, `"`) && shown != s {
			t.Errorf("%q is shown as %s", s, shown)
		}
	})
}
