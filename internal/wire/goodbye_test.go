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
	checkCommon(t, "goodbye of a receiver that tries again", ParseGoodbye) // what follows its flags is unknown
	checkRefused(t, "goodbye", ParseGoodbye, []refused{
		{"reason too short", set8(3, 48), ErrLength},
		{"reason with an escape", set8(goodbyeSize, 0x1b), ErrBounds},
		{"reason cut within a character", func(b []byte) []byte { b[3], b[goodbyeSize] = 1, 0xc3; return b }, ErrBounds},
	})
	again := Goodbye{
		Session: g.Session, Receiver: g.Receiver, Outcome: OutcomeTargetRefused, Again: true,
		Reason: []byte("/dev/sda is refused: there is no such device"),
	}
	checkVector(t, "goodbye of a receiver that tries again", again, ParseGoodbye)
	reserved := append(again.AppendTo(nil), 0xff, 0xff)
	reserved[len(reserved)-3] = 0xfe
	if got, err := ParseGoodbye(sealed(reserved)); err != nil || got.Again {
		t.Errorf("reserved flags: %+v, %v", got, err)
	}
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
