package multiserver

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/codec"
	"multiserver/internal/target"
)

// TestVerifyFindsAnyByte: one byte that is not what was written, anywhere, is found; and
// nothing is found where there is none.
func TestVerifyFindsAnyByte(t *testing.T) {
	const step = 64 << 10
	path := filepath.Join(t.TempDir(), "out")
	rapid.Check(t, func(t *rapid.T) {
		image := make([]byte, rapid.IntRange(1, 5*step).Draw(t, "size"))
		for i := range image {
			image[i] = byte(i*7 + i>>8)
		}
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := target.Open(target.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		size := uint64(len(image))
		if err := file.Prepare(size, 0); err != nil {
			t.Fatal(err)
		}
		flip := rapid.IntRange(-1, len(image)-1).Draw(t, "flip") // -1: none
		if flip >= 0 {
			b := image[flip] ^ byte(rapid.IntRange(1, 255).Draw(t, "by"))
			other, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.WriteAt([]byte{b}, int64(flip)); err != nil {
				t.Fatal(err)
			}
			other.Close()
		}
		c := &Client{cfg: ClientConfig{Verify: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
		c.stats.SizeBytes = size
		err = c.finish(t.Context(), file, step, func(off uint64, p []byte) bool {
			return codec.Sum(p) == codec.Sum(image[off:][:len(p)])
		})
		if found := errors.Is(err, ErrTargetIO); found != (flip >= 0) || err != nil && !found {
			t.Fatalf("byte %d of %d was flipped: %v", flip, size, err)
		}
		if c.stats.Verified != (flip < 0) {
			t.Fatalf("verified: %v", c.stats.Verified)
		}
	})
}

// TestRemembering: what was written in any order, and nothing else, is right.
func TestRemembering(t *testing.T) {
	const size, step = 10_000, 4096
	image := make([]byte, size)
	for i := range image {
		image[i] = byte(i * 31)
	}
	write := func(lo, hi int) func(r *remembering) {
		return func(r *remembering) {
			if err := r.WriteAt(image[lo:hi], uint64(lo)); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole := []func(*remembering){write(4096, 8192), write(8192, size), write(1024, 4096), write(0, 1024)}
	for _, c := range []struct {
		name   string
		writes []func(*remembering)
		flip   int
		want   bool
	}{
		{"all", whole, -1, true},
		{"the first byte", whole, 0, false},
		{"the last byte", whole, size - 1, false},
		{"a run is missing", whole[:3], -1, false},
		{"the end is missing", append(whole[2:4:4], whole[0]), -1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &remembering{Target: nowhere{}}
			for _, w := range c.writes {
				w(r)
			}
			r.sort()
			there := append([]byte(nil), image...)
			if c.flip >= 0 {
				there[c.flip] ^= 1
			}
			right := true
			for off := 0; off < size; off += step {
				right = right && r.right(uint64(off), there[off:min(size, off+step)])
			}
			if right != c.want {
				t.Errorf("right: %v, want %v", right, c.want)
			}
		})
	}
}

// nowhere is a target that takes all.
type nowhere struct{ target.Target }

func (nowhere) WriteAt([]byte, uint64) error { return nil }
