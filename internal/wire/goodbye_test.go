package wire

import (
	"strings"
	"testing"
)

func TestGoodbye(t *testing.T) {
	g := Goodbye{
		Session:    0x0123456789abcdef,
		Receiver:   0xfedcba9876543210,
		Outcome:    OutcomeTargetIO,
		Counts:     PacketCounts{Received: 98990, Lost: 1000, Dropped: 10},
		BlocksDone: 130,
		Reason:     []byte("write /dev/sda at 136314880: input/output error"),
	}
	checkVector(t, "goodbye", g, ParseGoodbye)
	checkCommon(t, "goodbye", ParseGoodbye)
	checkRefused(t, "goodbye", ParseGoodbye, []refused{
		{"reason too short", set8(3, 48), ErrLength},
		{"reason with an escape", set8(goodbyeSize, 0x1b), ErrBounds},
		{"reason cut within a character", func(b []byte) []byte { b[3], b[goodbyeSize] = 1, 0xc3; return b }, ErrBounds},
	})
	g.Reason = Text(strings.Repeat("a", 999))
	if got, err := ParseGoodbye(g.AppendTo(nil)); err != nil || len(got.Reason) != MaxText {
		t.Errorf("%d bytes of reason, %v", len(got.Reason), err)
	}
	g.Reason = []byte("two\nlines")
	if !panics(func() { g.AppendTo(nil) }) {
		t.Error("a reason of two lines is sent")
	}
}

func FuzzGoodbye(f *testing.F) { fuzz(f, ParseGoodbye) }
