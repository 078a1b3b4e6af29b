package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/zeebo/blake3"
	"pgregory.net/rapid"

	"multiserver/internal/block"
)

// geometry is one that need not be valid.
func geometry(imageSize uint64, blockSize uint32) block.Geometry {
	return block.Geometry{ImageSize: imageSize, BlockSize: blockSize}
}

func TestCheckSizes(t *testing.T) {
	tests := []struct {
		g     block.Geometry
		count uint32 // 0: not valid
	}{
		{geometry(1, 1), 1},
		{geometry(4096, 4096), 1},
		{geometry(4097, 4096), 2},
		{geometry(block.MaxBlockCount*block.MaxBlockSize, block.MaxBlockSize), block.MaxBlockCount},
		{geometry(block.MaxBlockCount*4096+1, 4096), 0},
		{block.Geometry{}, 0},
		{geometry(1, 0), 0},
		{geometry(0, 1), 0},
		{geometry(1, block.MaxBlockSize+1), 0},
		{geometry(math.MaxUint64, block.MaxBlockSize), 0},
		{geometry(math.MaxUint64, math.MaxUint32), 0},
	}
	for _, tt := range tests {
		err := checkSizes(tt.g)
		if (err == nil) != (tt.count > 0) || err != nil && !errors.Is(err, ErrShape) {
			t.Errorf("%+v: checkSizes = %v", tt.g, err)
		}
		if tt.count == 0 {
			if b, err := NewManifestBuilder(tt.g); b != nil || !errors.Is(err, ErrShape) {
				t.Errorf("%+v: a builder, %v", tt.g, err)
			}
			continue
		}
		n := uint64(tt.count)
		if tt.g.BlockCount() != tt.count {
			t.Errorf("%+v: BlockCount = %d", tt.g, tt.g.BlockCount())
		}
		if limit := 52 + 33*n; MaxManifestSize(tt.g) > limit {
			t.Errorf("%+v: a manifest of up to %d bytes", tt.g, MaxManifestSize(tt.g))
		}
		if size := 52 + (n+7)/8; MinManifestSize(tt.g) != size || MaxManifestSize(tt.g) != size+32*n {
			t.Errorf("%+v: manifests of %d to %d bytes", tt.g, MinManifestSize(tt.g), MaxManifestSize(tt.g))
		}
	}
}

// TestManifestAgainstSlice builds manifests in random order, parses them, and holds
// both against a slice of digests.
func TestManifestAgainstSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]uint64{1, 2, 7, 8, 63, 64, 65, rankStride - 1, rankStride, rankStride + 1, 3*rankStride + 100}).Draw(t, "n")
		s := block.Geometry{ImageSize: (n-1)*100 + rapid.Uint64Range(1, 100).Draw(t, "last"), BlockSize: 100}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		zeroShare := rapid.SampledFrom([]float64{0, 0.1, 0.9, 1}).Draw(t, "zeroShare")

		b, err := NewManifestBuilder(s)
		if err != nil {
			t.Fatal(err)
		}
		want, zero, stored := make([]Digest, n), make([]bool, n), uint64(0)
		for i, id := range rng.Perm(int(n)) {
			if b.Complete() {
				t.Fatalf("complete after %d of %d", i, n)
			}
			size := min(100, s.ImageSize-uint64(id)*100)
			zero[id] = rng.Float64() < zeroShare
			if zero[id] {
				want[id] = Sum(make([]byte, size))
			} else {
				want[id] = Sum(binary.BigEndian.AppendUint64(nil, rng.Uint64()))
				stored++
			}
			set := func() error { return b.Set(block.ID(id), want[id]) }
			if zero[id] && rng.IntN(2) == 0 {
				set = func() error { return b.SetZero(block.ID(id)) }
			}
			for range 1 + rng.IntN(2) { // a second time changes nothing
				if err := set(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !b.Complete() {
			t.Fatal("not complete")
		}
		built := b.Manifest()
		parsed, err := ParseManifest(bytes.Clone(built.Bytes()), s)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := uint64(len(built.Bytes())), MinManifestSize(s)+32*stored; got != want {
			t.Fatalf("manifest of %d bytes, want %d", got, want)
		}
		if !bytes.Equal(parsed.Bytes(), built.Bytes()) {
			t.Fatal("parse and append change it")
		}
		for _, m := range []*Manifest{built, parsed} {
			if m.Geometry() != s {
				t.Fatalf("Geometry = %+v, want %+v", m.Geometry(), s)
			}
			for id := range block.ID(n) {
				if m.Digest(id) != want[id] || m.IsZeroBlock(id) != zero[id] {
					t.Fatalf("block %d: %v, zero %v", id, m.Digest(id), m.IsZeroBlock(id))
				}
			}
			if m.ImageDigest() != obviousImageDigest(s, want) {
				t.Fatal("image digest differs")
			}
		}
	})
}

// obviousImageDigest follows the package comment to the letter.
func obviousImageDigest(s block.Geometry, blocks []Digest) (sum Digest) {
	b := binary.BigEndian.AppendUint64(nil, s.ImageSize)
	b = binary.BigEndian.AppendUint32(b, s.BlockSize)
	for _, d := range blocks {
		b = append(b, d[:]...)
	}
	blake3.DeriveKey("multiserver 2026 image digest v1", b, sum[:])
	return sum
}

// TestImageDigestHoldsGeometry: the same block digests in another geometry, and the
// same numbers of a block, a manifest and an image, are different digests.
func TestImageDigestHoldsGeometry(t *testing.T) {
	digestOf := func(block.ID) Digest { return Sum([]byte("the same")) }
	seen := map[Digest]block.Geometry{}
	for _, s := range []block.Geometry{geometry(8192, 4096), geometry(8191, 4096), geometry(16384, 8192), geometry(4097, 4096)} {
		d := imageDigest(s, digestOf)
		if other, ok := seen[d]; ok {
			t.Errorf("%+v and %+v have the same digest", s, other)
		}
		seen[d] = s
	}
	b := []byte("one input")
	image := Digest{}
	blake3.DeriveKey(imageContext, b, image[:])
	if Sum(b) == manifestDigest(b) || Sum(b) == image || manifestDigest(b) == image {
		t.Error("domains are not apart")
	}
}

func TestZeroDigest(t *testing.T) {
	for _, size := range []int{1, 100, 4096, 16 << 10, 16<<10 + 1, 1 << 20} {
		if d := ZeroDigest(uint32(size)); d != Sum(make([]byte, size)) {
			t.Errorf("ZeroDigest(%d) = %v", size, d)
		}
	}
}

func TestBuilderRefuses(t *testing.T) {
	b, err := NewManifestBuilder(block.Geometry{ImageSize: 250, BlockSize: 100})
	if err != nil {
		t.Fatal(err)
	}
	first, second := Sum([]byte{1}), Sum([]byte{2})
	steps := []struct {
		name string
		err  error
		want error
	}{
		{"first", b.Set(0, first), nil},
		{"again", b.Set(0, first), nil},
		{"changed", b.Set(0, second), ErrDigest},
		{"changed to zeros", b.SetZero(0), ErrDigest},
		{"zeros", b.SetZero(1), nil},
		{"zeros by their digest", b.Set(1, Sum(make([]byte, 100))), nil},
		{"changed from zeros", b.Set(1, first), ErrDigest},
		{"no such block", b.Set(3, first), ErrShape},
		{"no such block of zeros", b.SetZero(math.MaxUint32), ErrShape},
	}
	for _, s := range steps {
		if !errors.Is(s.err, s.want) {
			t.Errorf("%s: %v, want %v", s.name, s.err, s.want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an incomplete builder makes a manifest")
		}
	}()
	b.Manifest()
}

// seal puts a right digest behind an edited manifest.
func seal(b []byte) []byte {
	sum := manifestDigest(b[:len(b)-DigestSize])
	return append(b[:len(b)-DigestSize], sum[:]...)
}

func TestParseManifestRefuses(t *testing.T) {
	const mapAt = manifestHeaderSize
	zero := ZeroDigest(4096)
	good := vectors(t)["manifest"]
	tests := []struct {
		name  string
		sizes block.Geometry
		edit  func(b []byte) []byte
		want  error
	}{
		{"as it is", vectorSizes, func(b []byte) []byte { return b }, nil},
		{"reserved bytes", vectorSizes, func(b []byte) []byte { b[5], b[7] = 1, 2; return seal(b) }, nil},
		{"nothing", vectorSizes, func(b []byte) []byte { return nil }, ErrShape},
		{"header only", vectorSizes, func(b []byte) []byte { return b[:mapAt] }, ErrShape},
		{"no digests", vectorSizes, func(b []byte) []byte { return b[:mapAt+2+DigestSize-1] }, ErrShape},
		{"one byte short", vectorSizes, func(b []byte) []byte { return b[:len(b)-1] }, ErrShape},
		{"one byte long", vectorSizes, func(b []byte) []byte { return append(b, 0) }, ErrShape},
		{"one digest long", vectorSizes, func(b []byte) []byte { return seal(append(b, b[:DigestSize]...)) }, ErrShape},
		{"magic", vectorSizes, func(b []byte) []byte { b[0] ^= 1; return seal(b) }, ErrShape},
		{"version 0", vectorSizes, func(b []byte) []byte { b[4] = 0; return seal(b) }, ErrVersion},
		{"version 2", vectorSizes, func(b []byte) []byte { b[4] = 2; return seal(b)[:8] }, ErrVersion},
		{"image size", vectorSizes, func(b []byte) []byte { b[15]++; return seal(b) }, ErrShape},
		{"block size", vectorSizes, func(b []byte) []byte { b[18] ^= 0x30; return seal(b) }, ErrShape},
		{"another image", geometry(36963, 4096), func(b []byte) []byte { return b }, ErrShape},
		{"a far larger image", geometry(block.MaxBlockCount*block.MaxBlockSize, block.MaxBlockSize), func(b []byte) []byte { return b }, ErrShape},
		{"impossible sizes", geometry(math.MaxUint64, math.MaxUint32), func(b []byte) []byte { return b }, ErrShape},
		{"a zero too many", vectorSizes, func(b []byte) []byte { b[mapAt] |= 1; return seal(b) }, ErrShape},
		{"a zero too few", vectorSizes, func(b []byte) []byte { b[mapAt] &^= 2; return seal(b) }, ErrShape},
		{"a zero behind the last block", vectorSizes, func(b []byte) []byte { b[mapAt+1] |= 4; return seal(b) }, ErrShape},
		{"zeros not marked", vectorSizes, func(b []byte) []byte { copy(b[mapAt+2:], zero[:]); return seal(b) }, ErrShape},
		{"a bit of the map", vectorSizes, func(b []byte) []byte { b[mapAt] ^= 3; return b }, ErrDigest},
		{"a bit of a digest", vectorSizes, func(b []byte) []byte { b[mapAt+2] ^= 1; return b }, ErrDigest},
		{"a bit of its digest", vectorSizes, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, ErrDigest},
		{"a reserved bit", vectorSizes, func(b []byte) []byte { b[5] ^= 1; return b }, ErrDigest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseManifest(tt.edit(bytes.Clone(good)), tt.sizes)
			if !errors.Is(err, tt.want) || (m == nil) != (tt.want != nil) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// TestManifestBounded holds all memory of a builder and of its manifest, which grow
// with the count of blocks, against 33 bytes a block.
func TestManifestBounded(t *testing.T) {
	const n = 100_000
	b, err := NewManifestBuilder(block.Geometry{ImageSize: n * 4096, BlockSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if size := cap(b.b) + 8*cap(b.known); size > 33*n {
		t.Errorf("the builder takes %.2f bytes a block", float64(size)/n)
	}
	for id := range block.ID(n) {
		if err := b.Set(id, Digest{byte(id), byte(id >> 8), byte(id >> 16), 1}); err != nil {
			t.Fatal(err)
		}
	}
	m := b.Manifest()
	if size := cap(m.b) + 4*cap(m.rank); size > 33*n {
		t.Errorf("the manifest takes %.2f bytes a block", float64(size)/n)
	}
	if b.b != nil {
		t.Error("the builder still holds the manifest's bytes")
	}
	if a := testing.AllocsPerRun(10, func() { _ = m.Digest(n - 1) }); a != 0 {
		t.Errorf("Digest allocates %v times", a)
	}
}

// FuzzParseManifest: with a right digest put behind it, whatever parses is canonical:
// its blocks, put in anew, make the same bytes but for the reserved ones.
func FuzzParseManifest(f *testing.F) {
	f.Add(vectors(f)["manifest"], vectorSizes.ImageSize, vectorSizes.BlockSize)
	small, err := NewManifestBuilder(block.Geometry{ImageSize: 3, BlockSize: 2})
	if err != nil {
		f.Fatal(err)
	}
	small.SetZero(0)
	small.Set(1, Sum([]byte{9}))
	f.Add(small.Manifest().Bytes(), uint64(3), uint32(2))
	f.Fuzz(func(t *testing.T, b []byte, imageSize uint64, blockSize uint32) {
		if len(b) >= DigestSize {
			b = seal(bytes.Clone(b)) // a fuzzer does not find digests by itself
		}
		s := geometry(imageSize, blockSize)
		m, err := ParseManifest(b, s)
		if err != nil {
			if !errors.Is(err, ErrShape) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrDigest) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if !bytes.Equal(m.Bytes(), b) {
			t.Fatal("append differs from what was parsed")
		}
		builder, err := NewManifestBuilder(s)
		if err != nil {
			t.Fatal(err)
		}
		for id := range block.ID(s.BlockCount()) {
			if err := builder.Set(id, m.Digest(id)); err != nil {
				t.Fatal(err)
			}
		}
		again := builder.Manifest()
		copy(again.b[5:8], b[5:8])
		if !bytes.Equal(seal(again.b), b) {
			t.Fatalf("%x is built as %x", b, again.b)
		}
	})
}

func benchManifest(b *testing.B, zeros bool) *Manifest {
	const n = 1 << 16
	builder, err := NewManifestBuilder(block.Geometry{ImageSize: n << 20, BlockSize: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	for id := range block.ID(n) {
		d := Digest{byte(id), byte(id >> 8), byte(id >> 16), 1}
		if zeros && id%2 == 0 {
			d = builder.zeros.of(id)
		}
		if err := builder.Set(id, d); err != nil {
			b.Fatal(err)
		}
	}
	return builder.Manifest()
}

// BenchmarkParseManifest parses the manifest of 64 GiB; MB/s of the manifest.
func BenchmarkParseManifest(b *testing.B) {
	m := benchManifest(b, true)
	b.SetBytes(int64(len(m.b)))
	for b.Loop() {
		if _, err := ParseManifest(m.b, m.geometry); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkImageDigest hashes the digests of 64 GiB; MB/s of digests.
func BenchmarkImageDigest(b *testing.B) {
	m := benchManifest(b, false)
	b.SetBytes(int64(m.geometry.BlockCount()) * DigestSize)
	for b.Loop() {
		m.ImageDigest()
	}
}

func BenchmarkManifestDigest(b *testing.B) {
	m := benchManifest(b, true)
	id := block.ID(0)
	for b.Loop() {
		_ = m.Digest(id % (1 << 16))
		id += 7919
	}
}
