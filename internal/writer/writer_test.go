package writer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/account"
	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/target"
)

// memory is a target that records what is done to it, in its order.
type memory struct {
	target.Target
	image   []byte
	inOrder bool
	did     []string
	failAt  int // the write of this number fails; 0: none
	writes  int
}

func (m *memory) Name() string  { return "memory" }
func (m *memory) InOrder() bool { return m.inOrder }

func (m *memory) WriteAt(p []byte, off uint64) error {
	m.did = append(m.did, fmt.Sprintf("write %d+%d", off, len(p)))
	if m.writes++; m.writes == m.failAt {
		return fmt.Errorf("write at offset %d", off)
	}
	copy(m.image[off:], p)
	return nil
}

func (m *memory) WriteZeros(off, n uint64) error {
	m.did = append(m.did, fmt.Sprintf("zeros %d+%d", off, n))
	clear(m.image[off:][:n])
	return nil
}

func (m *memory) Sync() error {
	m.did = append(m.did, "sync")
	return nil
}

func (m *memory) ReadAt(p []byte, off uint64) error { copy(p, m.image[off:]); return nil }
func (m *memory) HoldsContent() bool                { return true }
func (m *memory) FlushCache() error                 { return nil }
func (m *memory) DropCache(uint64, uint64)          {}

const unit = 8

func imageOf(units int, last int) []byte {
	image := make([]byte, (units-1)*unit+last)
	rand.NewChaCha8([32]byte{1}).Read(image)
	return image
}

// data is the job of a unit of the image.
func data(image []byte, id uint64) Job {
	return Job{
		Units: block.Range{Lo: id, Hi: id + 1}, Data: image[id*unit : min((id+1)*unit, uint64(len(image)))], Tag: int(id),
	}
}

// TestAnyOrder: everything is written once and comes back once; a target in order gets byte
// after byte, and hears of it.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.IntRange(1, 30).Draw(t, "units")
		image := imageOf(units, rapid.IntRange(1, unit).Draw(t, "last"))
		inOrder := rapid.Bool().Draw(t, "in order")
		var jobs []Job
		for id := uint64(0); id < uint64(units); {
			if n := rapid.Uint64Range(0, min(3, uint64(units)-id)).Draw(t, "zeros"); n > 0 {
				clear(image[id*unit : min((id+n)*unit, uint64(len(image)))])
				jobs = append(jobs, Job{Units: block.Range{Lo: id, Hi: id + n}, Tag: -1})
				id += n
				continue
			}
			jobs = append(jobs, data(image, id))
			id++
		}
		jobs = rapid.Permutation(jobs).Draw(t, "order")
		m := &memory{image: bytes.Repeat([]byte{0xAA}, len(image)), inOrder: inOrder}
		var back, prefixes []uint64
		w := New(Config{
			Target: m, SizeBytes: uint64(len(image)), UnitBytes: unit, Queue: len(jobs),
			Written: func(j Job) { back = append(back, j.Units.Lo) },
			Prefix:  func(units uint64) { prefixes = append(prefixes, units) },
			Failed:  func(err error) { t.Errorf("failed: %v", err) },
		})
		for _, j := range jobs {
			w.Submit(j)
		}
		w.Close()
		w.Run()
		if !bytes.Equal(m.image, image) {
			t.Error("the target holds something else")
		}
		slices.Sort(back)
		if len(back) != len(jobs) || len(slices.Compact(back)) != len(jobs) {
			t.Errorf("%d of %d jobs came back: %v", len(back), len(jobs), back)
		}
		if !inOrder {
			return
		}
		if !slices.IsSorted(prefixes) || len(prefixes) == 0 || prefixes[len(prefixes)-1] != uint64(units) {
			t.Errorf("of %d units it told %v", units, prefixes)
		}
		end := uint64(0)
		for _, did := range m.did {
			var kind string
			var off, n uint64
			if fmt.Sscanf(did, "%s %d+%d", &kind, &off, &n); off != end {
				t.Fatalf("%s after all up to %d", did, end)
			}
			end += n
		}
	})
}

// TestParts: of a unit that came in part, that part is written.
func TestParts(t *testing.T) {
	image := imageOf(2, unit)
	m := &memory{image: make([]byte, len(image))}
	w := New(Config{Target: m, SizeBytes: uint64(len(image)), UnitBytes: unit, Queue: 1, Written: func(Job) {}})
	j := data(image, 1)
	j.Parts = []block.Range{{Lo: 0, Hi: 2}, {Lo: 5, Hi: 8}}
	w.Submit(j)
	w.Close()
	w.Run()
	if want := []string{"write 8+2", "write 13+3"}; !slices.Equal(m.did, want) {
		t.Errorf("it did %q, want %q", m.did, want)
	}
}

// TestFirstFailure is told once, nothing is written after it, and every job comes back.
func TestFirstFailure(t *testing.T) {
	image := imageOf(4, unit)
	m := &memory{image: make([]byte, len(image)), failAt: 2}
	var failed []error
	back := 0
	w := New(Config{
		Target: m, SizeBytes: uint64(len(image)), UnitBytes: unit, Queue: 4,
		Written: func(Job) { back++ }, Failed: func(err error) { failed = append(failed, err) },
	})
	for id := range uint64(4) {
		w.Submit(data(image, id))
	}
	w.Close()
	w.Run()
	if len(failed) != 1 || failed[0].Error() != "write at offset 8" || len(m.did) != 2 || back != 4 {
		t.Errorf("told %v after %v; %d jobs came back", failed, m.did, back)
	}
}

// TestCompare: the first block that is there already is told of and not written, and no
// other is read after it.
func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name    string
		compare int
		same    []uint64 // units that the target holds
		present int
		writes  int
	}{
		{"nothing is there", 4, nil, 0, 6},
		{"the second is", 4, []uint64{1, 2}, 1, 5},
		{"one that is looked at no more", 2, []uint64{3}, 0, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := imageOf(6, unit)
			m := &memory{image: make([]byte, len(image))}
			for _, id := range c.same {
				copy(m.image[id*unit:], image[id*unit:][:unit])
			}
			present := 0
			w := New(Config{
				Target: m, SizeBytes: uint64(len(image)), UnitBytes: unit, Queue: 6, Compare: c.compare, Content: m,
				Present: func() { present++ }, Written: func(Job) {},
			})
			for id := range uint64(6) {
				w.Submit(data(image, id))
			}
			w.Close()
			w.Run()
			if present != c.present || len(m.did) != c.writes || !bytes.Equal(m.image, image) {
				t.Errorf("told %d times, wrote %v", present, m.did)
			}
		})
	}
}

// TestMatches: what was written in any order, and nothing else, matches.
func TestMatches(t *testing.T) {
	const size, step = 10_000, 4096
	image := make([]byte, size)
	for i := range image {
		image[i] = byte(i * 31)
	}
	whole := []block.Range{{Lo: 4096, Hi: 8192}, {Lo: 8192, Hi: size}, {Lo: 1024, Hi: 4096}, {Lo: 0, Hi: 1024}}
	for _, c := range []struct {
		name    string
		written []block.Range
		flip    int
		want    bool
	}{
		{"all", whole, -1, true},
		{"the first byte", whole, 0, false},
		{"the last byte", whole, size - 1, false},
		{"a run is missing", whole[:3], -1, false},
		{"the end is missing", append(whole[2:4:4], whole[0]), -1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(Config{Target: &memory{image: make([]byte, size)}, SizeBytes: size, UnitBytes: size, Queue: 1, Remember: true, Written: func(Job) {}})
			w.Submit(Job{Units: block.Range{Lo: 0, Hi: 1}, Data: image, Parts: c.written})
			w.Close()
			w.Run()
			there := bytes.Clone(image)
			if c.flip >= 0 {
				there[c.flip] ^= 1
			}
			match := true
			for off := 0; off < size; off += step {
				match = match && w.Matches(uint64(off), there[off:min(size, off+step)])
			}
			if match != c.want {
				t.Errorf("it matches: %v, want %v", match, c.want)
			}
		})
	}
}

// TestSyncComesFirst: before a target counts as finished, it was synced.
func TestSyncComesFirst(t *testing.T) {
	m := &memory{}
	e := Ending{Target: m, Account: new(account.Client), Log: slog.New(slog.DiscardHandler)}
	if err := e.Finish(t.Context()); err != nil || !slices.Equal(m.did, []string{"sync"}) {
		t.Errorf("it did %q and returned %v", m.did, err)
	}
}

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
		figures := new(account.Client)
		e := Ending{
			Target: file, SizeBytes: size, Verify: true, StepBytes: step, Account: figures,
			Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
			Matches: func(off uint64, p []byte) bool { return codec.Sum(p) == codec.Sum(image[off:][:len(p)]) },
		}
		err = e.Finish(t.Context())
		if found := errors.Is(err, target.ErrIO); found != (flip >= 0) || err != nil && !found {
			t.Fatalf("byte %d of %d was flipped: %v", flip, size, err)
		}
		if f := figures.Figures(); f.Verified != (flip < 0) || f.BytesVerified != size {
			t.Fatalf("verified: %v, %d bytes", f.Verified, f.BytesVerified)
		}
	})
}
