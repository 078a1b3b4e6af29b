package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// guarded fails every read of an unused byte.
type guarded struct {
	*bytes.Reader
	unused  []Span
	changed error
	closed  *int
}

func (g *guarded) ReadAt(p []byte, off int64) (int, error) {
	for _, s := range g.unused {
		if s.Lo < uint64(off)+uint64(len(p)) && uint64(off) < s.Hi {
			return 0, fmt.Errorf("%d bytes from %d on are read, of which some are unused", len(p), off)
		}
	}
	return g.Reader.ReadAt(p, off)
}
func (g *guarded) Changed() error                 { return g.changed }
func (g *guarded) IsHole(off, length uint64) bool { return off >= 20 && off+length <= 30 }
func (g *guarded) Close() error                   { *g.closed++; return nil }

// withoutUnused is a view of b without some spans, the guarded source and what the view is like.
func withoutUnused(t testing.TB, b []byte, unused []Span) (*UsedView, *guarded, []byte) {
	g := &guarded{Reader: bytes.NewReader(b), unused: unused, closed: new(int)}
	src, err := FromReader(g, uint64(len(b)), "disk")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(b)
	for _, s := range unused {
		clear(want[s.Lo:s.Hi])
	}
	return WithoutUnused(src, Unused{Spans: unused, ID: "map", Changed: func() error { return nil }, Closer: g}), g, want
}

// TestUnusedReads: every read of the view, however it is cut, has zeros for what is unused and
// never reads that.
func TestUnusedReads(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		b := make([]byte, 1+random.IntN(200))
		for i := range b {
			b[i] = byte(1 + i%250)
		}
		var unused []Span
		for at := random.IntN(20); at < len(b); at += random.IntN(30) {
			hi := min(len(b), at+1+random.IntN(30))
			unused = append(unused, Span{uint64(at), uint64(hi)})
			at = hi
		}
		v, _, want := withoutUnused(t, b, unused)
		for range 50 {
			off := random.IntN(len(b) + 3)
			p := make([]byte, random.IntN(40))
			for i := range p {
				p[i] = 0xEE
			}
			n, err := v.ReadAt(p, int64(off))
			end := min(len(b), off+len(p))
			switch {
			case off >= len(b):
				if n != 0 || err != io.EOF {
					t.Fatalf("read behind the end: %d, %v", n, err)
				}
				continue
			case n != end-off || !bytes.Equal(p[:n], want[off:end]) || (err == nil) != (n == len(p)) || err != nil && err != io.EOF:
				t.Fatalf("ReadAt %d from %d of %d, without %v: %d, %v", len(p), off, len(b), unused, n, err)
			}
			var slots [][]byte
			for left := end - off; left > 0; {
				k := min(left, random.IntN(12))
				slots = append(slots, bytes.Repeat([]byte{0xEE}, k))
				left -= k
			}
			if err := v.ReadScattered(slots, uint64(off)); err != nil || !bytes.Equal(bytes.Join(slots, nil), want[off:end]) {
				t.Fatalf("ReadScattered from %d to %d of %d, without %v: %v", off, end, len(b), unused, err)
			}
			if err := v.ReadScattered([][]byte{make([]byte, len(b)-off+1)}, uint64(off)); err == nil {
				t.Fatal("it reads beyond its end")
			}
		}
	}
}

func TestUnusedHoles(t *testing.T) {
	v, _, _ := withoutUnused(t, make([]byte, 60), []Span{{10, 20}, {30, 40}, {40, 45}})
	for _, test := range []struct {
		off, length  uint64
		hole, unused bool
	}{
		{10, 10, true, true}, {12, 3, true, true}, {10, 30, true, false}, {9, 5, false, false}, {10, 36, false, false},
		{20, 10, true, false}, {30, 15, true, false}, {50, 20, false, false}, {0, 60, false, false},
	} {
		if v.IsHole(test.off, test.length) != test.hole || v.IsUnused(test.off, test.length) != test.unused {
			t.Errorf("%d bytes from %d on: hole %v, unused %v", test.length, test.off, v.IsHole(test.off, test.length), v.IsUnused(test.off, test.length))
		}
	}
}

// TestUnusedIdentity: a view is another image than its source, and than with another map.
func TestUnusedIdentity(t *testing.T) {
	path, _ := writeImage(t, 100)
	seen := map[string]bool{}
	for _, id := range []string{"", "a", "b"} {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var src Source = f
		if id != "" {
			src = WithoutUnused(f, Unused{ID: id, Spans: []Span{{1, 2}}})
		}
		line, err := src.Identity()
		if err != nil || seen[line] || src.CacheKey() == "" || seen[src.CacheKey()] {
			t.Errorf("map %q: identity %q, key %q, %v", id, line, src.CacheKey(), err)
		}
		seen[line], seen[src.CacheKey()] = true, true
	}
	v, _, _ := withoutUnused(t, make([]byte, 9), nil)
	if v.CacheKey() != "" {
		t.Error("a source without a key has one")
	}
}

func TestUnusedChanged(t *testing.T) {
	v, g, _ := withoutUnused(t, make([]byte, 9), []Span{{1, 2}})
	if err := v.Changed(); err != nil {
		t.Error(err)
	}
	g.changed = errors.New("another disk")
	if err := v.Changed(); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
	g.changed = nil
	v.unused.Changed = func() error { return errors.New("mounted") }
	if err := v.Changed(); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "mounted") {
		t.Error(err)
	}
	if v.Close(); *g.closed != 2 {
		t.Errorf("%d are closed of the source and the claim", *g.closed)
	}
}
