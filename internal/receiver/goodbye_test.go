package receiver

import (
	"strings"
	"testing"
	"unicode/utf8"

	"multiserver/internal/wire"
)

// TestReason: whatever a driver says goes into a packet.
func TestReason(t *testing.T) {
	for _, reason := range []string{
		"", "write /dev/sda at 631488: input/output error", "two\nlines\x00\x7f", "\xff\xfe",
		strings.Repeat("a", 300), strings.Repeat("ä", 200), strings.Repeat("a", 254) + "€", "\u2028\u200b",
	} {
		b := wire.Goodbye{Reason: wire.Text(reason)}.AppendTo(nil)
		g, err := wire.ParseGoodbye(b)
		if err != nil || !utf8.Valid(g.Reason) {
			t.Errorf("%q: %v", reason, err)
		}
		if len(reason) > 200 && len(g.Reason) < 250 {
			t.Errorf("%q is cut to %d bytes", reason, len(g.Reason))
		}
	}
}
