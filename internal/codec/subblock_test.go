package codec

import (
	"bytes"
	"encoding/binary"
	"testing"

	"multiserver/internal/block"
)

func TestSubblockDigests(t *testing.T) {
	plain := make([]byte, 2*block.SubblockSize+100)
	for i := range plain {
		plain[i] = byte(i % 251)
	}
	got := AppendSubblockDigests([]SubblockDigest{7}, plain)
	if len(got) != 4 || got[0] != 7 {
		t.Fatalf("%x for two sub-blocks and a bit", got)
	}
	for i, d := range got[1:] {
		subblock := plain[i*block.SubblockSize : min((i+1)*block.SubblockSize, len(plain))]
		if sum := Sum(subblock); uint64(d) != binary.BigEndian.Uint64(sum[:8]) {
			t.Errorf("sub-block %d: %x, want the beginning of %v", i, d, sum)
		}
	}
	other := bytes.Clone(plain)
	other[block.SubblockSize] ^= 1
	for i, d := range AppendSubblockDigests(nil, other) {
		if same := d == got[1+i]; same != (i != 1) {
			t.Errorf("sub-block %d is the same: %v, and subblock 1 was changed", i, same)
		}
	}
	if none := AppendSubblockDigests(nil, nil); len(none) != 0 {
		t.Errorf("%x for nothing", none)
	}
}

func BenchmarkSubblockDigests(b *testing.B) {
	plain := make([]byte, 1<<20)
	var digests []SubblockDigest
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		digests = AppendSubblockDigests(digests[:0], plain)
	}
}
