package wire

import (
	"unicode"
	"unicode/utf8"
)

// Text makes of s what the packets take as a name or a reason: at most MaxText
// bytes of UTF-8, with U+FFFD in place of what could do something on a terminal.
func Text(s string) []byte {
	b := make([]byte, 0, min(len(s), MaxText))
	for _, r := range s {
		if !plain(r) {
			r = utf8.RuneError
		}
		if len(b)+utf8.RuneLen(r) > MaxText {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return b
}

// FileName is Text for the name of an image: without its folders, and empty if
// that leaves no name of a file.
func FileName(s string) []byte {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			s = s[i+1:]
			break
		}
	}
	if b := Text(s); validFileName(b) {
		return b
	}
	return nil
}

// plain leaves out controls, invisible format characters (which can turn the
// direction of writing) and separators of lines.
func plain(r rune) bool { return !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

func validText(b []byte) bool {
	if len(b) > MaxText {
		return false
	}
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || !plain(r) {
			return false
		}
		b = b[n:]
	}
	return true
}

// validFileName: a name that leads outside of the current folder is none.
func validFileName(b []byte) bool {
	for _, c := range b {
		if c == '/' {
			return false
		}
	}
	return validText(b) && string(b) != "." && string(b) != ".."
}
