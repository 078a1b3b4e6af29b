package fec

import "testing"

// TestCopyIsOfNoUse: a repair symbol that comes twice counts once.
func TestCopyIsOfNoUse(t *testing.T) {
	const k, size = 4, 16
	var d Decoder
	if err := d.Reset(make([]byte, k*size), size); err != nil {
		t.Fatal(err)
	}
	for n, want := range []bool{true, false} {
		if useful, err := d.Add(k+3, make([]byte, size)); useful != want || err != nil {
			t.Errorf("time %d: of use %v, %v; want %v", n+1, useful, err, want)
		}
	}
	if d.Needed() != k-1 {
		t.Errorf("%d more are needed, want %d", d.Needed(), k-1)
	}
}
