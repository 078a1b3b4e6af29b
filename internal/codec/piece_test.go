package codec

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestPieceDigests(t *testing.T) {
	plain := make([]byte, 2*PieceSize+100)
	for i := range plain {
		plain[i] = byte(i % 251)
	}
	got := AppendPieceDigests([]PieceDigest{7}, plain)
	if len(got) != 4 || got[0] != 7 {
		t.Fatalf("%x for two pieces and a bit", got)
	}
	for i, d := range got[1:] {
		piece := plain[i*PieceSize : min((i+1)*PieceSize, len(plain))]
		if sum := Sum(piece); uint64(d) != binary.BigEndian.Uint64(sum[:8]) {
			t.Errorf("piece %d: %x, want the beginning of %v", i, d, sum)
		}
	}
	other := bytes.Clone(plain)
	other[PieceSize] ^= 1
	for i, d := range AppendPieceDigests(nil, other) {
		if same := d == got[1+i]; same != (i != 1) {
			t.Errorf("piece %d is the same: %v, and piece 1 was changed", i, same)
		}
	}
	if none := AppendPieceDigests(nil, nil); len(none) != 0 {
		t.Errorf("%x for nothing", none)
	}
}

func BenchmarkPieceDigests(b *testing.B) {
	plain := make([]byte, 1<<20)
	var digests []PieceDigest
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		digests = AppendPieceDigests(digests[:0], plain)
	}
}
