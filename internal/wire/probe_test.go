package wire

import (
	"bytes"
	"testing"
)

func TestProbe(t *testing.T) {
	p := Probe{Session: 0x0123456789abcdef, Train: 1, Step: 5, Index: 300, Clock: 123456789, Size: 40}
	checkVector(t, "probe", p, ParseProbe)
	checkRefused(t, "probe", ParseProbe, []refused{
		{"MXB 1", func(b []byte) []byte { return append([]byte("MXBP"), b[4:]...) }, ErrMagic},
		{"version", set8(0, 0xb2), VersionError(2)},
		{"type", set8(1, 1), ErrType},
		{"short", func(b []byte) []byte { return b[:probeSize-1] }, ErrLength},
		{"too long", func(b []byte) []byte { return append(b, make([]byte, MaxPacketSize)...) }, ErrLength},
		{"step", set16(2, MaxProbeSteps), ErrBounds},
	})
	checkTaken(t, "probe", ParseProbe, set8(39, 0xff)) // padding
	p.Size = 1472
	// What the buffer held before must not become padding.
	dirty := bytes.Repeat([]byte{0xff}, 2000)[:0]
	if b := p.AppendTo(dirty); len(b) != 1472 || !bytes.Equal(b[probeSize:], make([]byte, 1472-probeSize)) {
		t.Errorf("%d bytes: %x", len(b), b)
	}
	p.Size = probeSize - 1
	if !panics(func() { p.AppendTo(nil) }) {
		t.Error("a probe shorter than its fields is sent")
	}
}

func FuzzProbe(f *testing.F) { fuzz(f, ParseProbe) }
