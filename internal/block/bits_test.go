package block

import "testing"

func TestBits(t *testing.T) {
	for _, n := range []uint32{1, 63, 64, 65, 200} {
		b := NewBits(n)
		for i := uint32(0); i < n; i += 3 {
			if b.Has(i) || !b.Add(i) || b.Add(i) {
				t.Errorf("index %d of %d is not added exactly once", i, n)
			}
		}
		for i := range n {
			if b.Has(i) != (i%3 == 0) {
				t.Errorf("index %d of %d: Has = %v", i, n, b.Has(i))
			}
		}
	}
}
