package legacy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/mxb1"
	"multiserver/internal/target"
	"multiserver/internal/writer"
)

// memoryTarget keeps what is written, and how.
type memoryTarget struct {
	target.Target
	inOrder bool
	image   []byte
	times   []uint8 // that each byte was written
	writes  []write
	failAt  int // the write of this index fails, none if negative
}

type write struct{ off, size uint64 }

func (m *memoryTarget) Name() string  { return "memory" }
func (m *memoryTarget) InOrder() bool { return m.inOrder }
func (m *memoryTarget) Sync() error   { return nil }

func (m *memoryTarget) WriteAt(p []byte, off uint64) error {
	m.writes = append(m.writes, write{off, uint64(len(p))})
	if len(m.writes)-1 == m.failAt {
		return fmt.Errorf("write at offset %d", off)
	}
	copy(m.image[off:], p)
	for i := range p {
		m.times[off+uint64(i)]++
	}
	return nil
}

// gather puts the blocks of image in an order into a gatherer, and again where there was
// no room, and returns what was written.
func gather(t rapid.TB, image []byte, ids []int, inOrder bool, failAt int) (*memoryTarget, []error) {
	size := uint64(len(image))
	m := &memoryTarget{image: make([]byte, size), times: make([]uint8, size), failAt: failAt, inOrder: inOrder}
	var failed []error
	g := newGatherer(writer.Config{Target: m, SizeBytes: size, Failed: func(err error) { failed = append(failed, err) }})
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.writer.Run()
	}()
	for len(ids) > 0 {
		var again []int
		for _, id := range ids {
			at := id * mxb1.BlockSize
			w, bounded := g.window()
			inside := !bounded || w.Lo <= uint64(id) && uint64(id) < w.Hi
			if !inside || !g.put(uint64(id), image[at:min(at+mxb1.BlockSize, len(image))]) {
				again = append(again, id)
			}
		}
		ids = again
	}
	g.flush()
	g.writer.Close()
	<-done
	if len(g.all) > g.max {
		t.Errorf("%d chunks were made, want %d at most", len(g.all), g.max)
	}
	return m, failed
}

func inTurn(image []byte) []int {
	ids := make([]int, mxb1.BlockCount(uint64(len(image))))
	for i := range ids {
		ids[i] = i
	}
	return ids
}

func randomBytes(size int) []byte {
	image := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(image)
	return image
}

// TestGathersMebibytes: blocks that come in order are written a MiB at a time.
func TestGathersMebibytes(t *testing.T) {
	const mib = 1 << 20
	image := randomBytes(3*mib + 1500)
	want := []write{{0, mib}, {mib, mib}, {2 * mib, mib}, {3 * mib, 1500}}
	for _, inOrder := range []bool{false, true} {
		m, failed := gather(t, image, inTurn(image), inOrder, -1)
		if fmt.Sprint(m.writes) != fmt.Sprint(want) || len(failed) > 0 || !bytes.Equal(m.image, image) {
			t.Errorf("in order: %v: wrote %v, %v; want %v", inOrder, m.writes, failed, want)
		}
	}
}

// TestGathersAnyOrder: each byte is written once, to a stream one after the other.
func TestGathersAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		image := randomBytes(rapid.IntRange(1, 12<<20).Draw(t, "size"))
		inOrder := rapid.Bool().Draw(t, "in order")
		ids := inTurn(image)
		// Some come late, as repairs do.
		for range rapid.IntRange(0, 50).Draw(t, "late") {
			at := rapid.IntRange(0, len(ids)-1).Draw(t, "which")
			ids = append(append(ids[:at:at], ids[at+1:]...), ids[at])
		}
		m, failed := gather(t, image, ids, inOrder, -1)
		if len(failed) > 0 || !bytes.Equal(m.image, image) || len(bytes.Trim(m.times, "\x01")) > 0 {
			t.Fatalf("failed: %v; the image is there: %v", failed, bytes.Equal(m.image, image))
		}
		end := uint64(0)
		for _, w := range m.writes {
			if inOrder && w.off != end {
				t.Fatalf("wrote at %d after all up to %d", w.off, end)
			}
			end = w.off + w.size
		}
	})
}

// TestGatherFails: the first error is told once, and nothing is written after it.
func TestGatherFails(t *testing.T) {
	image := randomBytes(4 << 20)
	m, failed := gather(t, image, inTurn(image), false, 1)
	if len(failed) != 1 || failed[0].Error() != "write at offset 1048576" || len(m.writes) != 2 {
		t.Errorf("told %v after %v", failed, m.writes)
	}
}

// writerConfig is of a target in memory for image.
func writerConfig(image []byte) writer.Config {
	return writer.Config{Target: &memoryTarget{image: make([]byte, len(image)), failAt: -1}, SizeBytes: uint64(len(image))}
}
