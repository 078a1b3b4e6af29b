package wire

import (
	"testing"

	"multiserver/internal/block"
)

func TestZeroRun(t *testing.T) {
	checkVector(t, "zero run", ZeroRun{Session: 0x0123456789abcdef, Sequence: 77, First: 512, Count: 1024}, ParseZeroRun)
	checkCommon(t, "zero run", ParseZeroRun)
	checkRefused(t, "zero run", ParseZeroRun, []refused{
		{"sequence", set64(16, uint64(MaxSequence)+1), ErrBounds},
		{"no blocks", set32(28, 0), ErrBounds},
		{"past the last block", set32(28, block.MaxBlockCount-511), ErrBounds},
		{"sum over 32 bits", func(b []byte) []byte { return set32(24, 2)(set32(28, 1<<32-1)(b)) }, ErrBounds},
		{"of the manifest", set32(24, 1<<31), ErrBounds},
	})
	checkTaken(t, "zero run", ParseZeroRun, set16(2, 0xffff))
	if !panics(func() { ZeroRun{First: block.MaxBlockCount, Count: 1}.AppendTo(nil) }) {
		t.Error("a run past the last block is sent")
	}
}

func FuzzZeroRun(f *testing.F) { fuzz(f, ParseZeroRun) }
