package wire

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ s, want string }{
		{"", ""},
		{"node-07", "node-07"},
		{"Größe 4\u00a0GB", "Größe 4\u00a0GB"},
		{"a\x1b[2Jb\n", "a\ufffd[2Jb\ufffd"},
		{"bad \xff byte", "bad \ufffd byte"},
		{"gpj.\u202eexe", "gpj.\ufffdexe"},
		{strings.Repeat("a", 300), strings.Repeat("a", 255)},
		{strings.Repeat("ß", 200), strings.Repeat("ß", 127)},
	} {
		if got := string(Text(c.s)); got != c.want {
			t.Errorf("Text(%q) = %q, want %q", c.s, got, c.want)
		}
	}
}

func TestFileName(t *testing.T) {
	for _, c := range []struct{ s, want string }{
		{"debian.img", "debian.img"},
		{"/srv/images/debian.img", "debian.img"},
		{"../x", "x"},
		{"..", ""},
		{".", ""},
		{"/srv/..", ""},
		{"/srv/", ""},
		{"-", "-"},
		{"a\x00b", "a\ufffdb"},
	} {
		if got := string(FileName(c.s)); got != c.want {
			t.Errorf("FileName(%q) = %q, want %q", c.s, got, c.want)
		}
	}
}

func TestTextIsValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "s"))
		if b := Text(s); !validText(b) {
			t.Fatalf("Text(%q) = %q is no Text", s, b)
		}
		if b := FileName(s); !validFileName(b) {
			t.Fatalf("FileName(%q) = %q is no name", s, b)
		}
	})
}

func TestValidText(t *testing.T) {
	for s, want := range map[string]bool{
		"plain": true, "\ufffd": true, "": true, strings.Repeat("a", 255): true,
		strings.Repeat("a", 256): false, "\n": false, "\x7f": false, "\u0085": false, "\u2028": false,
		"\xff": false, "\xc3": false, "\u200f": false,
	} {
		if validText([]byte(s)) != want {
			t.Errorf("validText(%q) is %v", s, !want)
		}
	}
}
