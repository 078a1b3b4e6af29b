package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"multiserver/internal/lab"
)

func TestPipe(t *testing.T) {
	const size = 300_000
	path := filepath.Join(t.TempDir(), "image")
	if err := lab.RandomFile(path, size, 1); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wrong := append([]byte{}, image...)
	wrong[size/2] ^= 1
	for _, c := range []struct {
		name    string
		written []byte
		same    bool
	}{
		{"the image", image, true},
		{"a wrong byte", wrong, false},
		{"too little", image[:size-1], false},
		{"too much", append(append([]byte{}, image...), 0), false},
		{"nothing", nil, false},
	} {
		from, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer to.Close()
			_, _ = to.Write(c.written)
		}()
		p := pipe{image: path, bytesPerSec: 1e7}
		start := time.Now()
		p.read(from)
		if (p.err == nil) != c.same {
			t.Errorf("%s: %v", c.name, p.err)
		}
		if took, least := time.Since(start), time.Duration(float64(len(c.written))/p.bytesPerSec*1e9)-pipeBurst; took < least {
			t.Errorf("%s: took %v, less than %v", c.name, took, least)
		}
	}
}
