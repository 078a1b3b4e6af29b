package packed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/image"
)

const mib = 1 << 20

// content is an image of size bytes with blocks that compress, some that do not, and runs of
// zeros in the middle and at the end.
func content(size int) []byte {
	rng := rand.New(rand.NewPCG(uint64(size), 2))
	b := make([]byte, size)
	for at := 0; at < size; at += mib {
		part := b[at:min(at+mib, size)]
		switch at / mib % 7 {
		case 0: // text
			copy(part, bytes.Repeat([]byte("a root file system, mostly; "), mib/28+1))
			part[rng.IntN(len(part))]++
		case 1: // noise
			for i := range part {
				part[i] = byte(rng.Uint32())
			}
		case 2: // half of both
			for i := range len(part) / 2 {
				part[i] = byte(rng.Uint32())
			}
		}
	}
	return b
}

// sizes are of images: one byte, less than a block, whole blocks, a short one of zeros or not.
var sizes = []int{1, 1000, mib, mib + 1, 3*mib + 17, 4 * mib, 9*mib + 4096, 14*mib + 5}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// pack packs b and returns the path.
func pack(t testing.TB, b []byte, o Options) string {
	t.Helper()
	src, err := image.Open(write(t, "disk.img", b))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	path := filepath.Join(t.TempDir(), "disk.mspack.zst")
	if err := Pack(t.Context(), src, path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

func openImage(t testing.TB, path string) *Image {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRoundTrip: what is packed reads, unpacks and verifies as the image, its digests are those
// of the plain bytes, and nothing but the files is left.
func TestRoundTrip(t *testing.T) {
	for n, size := range sizes {
		b := content(size)
		level := codec.Level(n%4) + codec.Fastest
		p := new(Progress)
		path := pack(t, b, Options{Level: level, Progress: p})
		m := openImage(t, path)
		if m.Size() != uint64(size) || m.Name() != "disk.img" {
			t.Errorf("%d bytes: Size, Name = %d, %q", size, m.Size(), m.Name())
		}
		if err := iotest.TestReader(io.NewSectionReader(m, 0, int64(size)), b); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		for id := range block.ID(m.header.geometry.BlockCount()) {
			part := b[int(id)*mib : min(int(id+1)*mib, size)]
			if m.Manifest().Digest(id) != codec.Sum(part) || m.IsHole(uint64(id)*mib, uint64(len(part))) != codec.IsZero(part) {
				t.Errorf("%d bytes: block %d has another digest, or is a hole", size, id)
			}
			got := make([]byte, len(part))
			if err := m.ReadScattered([][]byte{got[:len(part)/3], got[len(part)/3:]}, uint64(id)*mib); err != nil || !bytes.Equal(got, part) {
				t.Errorf("%d bytes: block %d reads otherwise: %v", size, id, err)
			}
		}
		if stored := uint64(len(readFile(t, path))); p.Done.Load() != uint64(size) || p.Checked.Load() != uint64(size) || p.Stored.Load() != stored {
			t.Errorf("%d bytes: counted %d packed, %d checked, %d of %d stored", size, p.Done.Load(), p.Checked.Load(), p.Stored.Load(), stored)
		}
		if i := m.Info(); i.SizeBytes != uint64(size) || i.Level != level.String() || i.ImageDigest != m.Manifest().ImageDigest().String() || i.UnusedKnown || i.Signature.Kind != 0 {
			t.Errorf("%d bytes: Info = %+v", size, i)
		}
		out := filepath.Join(t.TempDir(), "out.img")
		if err := m.UnpackFile(t.Context(), out, false, new(Progress)); err != nil || !bytes.Equal(readFile(t, out), b) {
			t.Errorf("%d bytes: unpacked otherwise: %v", size, err)
		}
		var stream bytes.Buffer
		if err := m.Unpack(t.Context(), &stream, new(Progress)); err != nil || !bytes.Equal(stream.Bytes(), b) {
			t.Errorf("%d bytes: unpacked into a stream otherwise: %v", size, err)
		}
		for _, made := range []string{path, out} {
			if entries, err := os.ReadDir(filepath.Dir(made)); err != nil || len(entries) != 1 {
				t.Errorf("%d bytes: %v left, %v", size, entries, err)
			}
		}
	}
}

// TestZstdPrograms: the zstd program, the library's stream decoder and another reader of seek
// tables restore the image.
func TestZstdPrograms(t *testing.T) {
	for _, size := range sizes {
		b := content(size)
		path := pack(t, b, Options{Level: codec.Fastest})
		stored := readFile(t, path)
		decoder, err := zstd.NewReader(bytes.NewReader(stored))
		if err != nil {
			t.Fatal(err)
		}
		defer decoder.Close()
		if got, err := io.ReadAll(decoder); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes: the library makes %d bytes: %v", size, len(got), err)
		}
		reader, err := seekable.NewReader(bytes.NewReader(stored), decoder)
		if err != nil {
			t.Fatalf("%d bytes: seek table: %v", size, err)
		}
		part, at := make([]byte, min(size, 100)), size-min(size, 100)
		if _, err := reader.ReadAt(part, int64(at)); err != nil && err != io.EOF || !bytes.Equal(part, b[at:]) {
			t.Errorf("%d bytes: by the seek table, the end reads otherwise: %v", size, err)
		}
		reader.Close()

		if _, err := exec.LookPath("zstd"); err != nil {
			t.Log("without the zstd program (apt-get install zstd) it does not say that it takes the file")
			continue
		}
		if out, err := exec.Command("zstd", "-t", path).CombinedOutput(); err != nil {
			t.Errorf("%d bytes: zstd -t: %v: %s", size, err, out)
		}
		got, err := exec.Command("zstd", "-dc", path).Output()
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes: zstd -dc makes %d bytes: %v", size, len(got), err)
		}
	}
}

// TestDeterministic: the same bytes and level make the same file, on whatever the image is and
// however many cores work.
func TestDeterministic(t *testing.T) {
	b := content(9*mib + 77)
	first := readFile(t, pack(t, b, Options{Level: codec.Default}))
	for range 3 {
		if !bytes.Equal(readFile(t, pack(t, b, Options{Level: codec.Default, NoVerify: true})), first) {
			t.Error("packed again it is another file")
		}
	}
	// With holes in the place of zeros.
	sparse := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(sparse)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(len(b))); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b); at += 4096 {
		if part := b[at:min(at+4096, len(b))]; !codec.IsZero(part) {
			if _, err := f.WriteAt(part, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	src, err := image.Open(sparse)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	path := filepath.Join(t.TempDir(), "sparse.mspack.zst")
	if err := Pack(t.Context(), src, path, Options{Level: codec.Default}); err != nil || !bytes.Equal(readFile(t, path), first) {
		t.Errorf("packed from a sparse file it is another file, %v", err)
	}
}

// TestFlippedByte flips each byte in turn of a small packed image, and some bits: it does not
// open, or does not verify. What is damaged where it is served from is an error when it is read.
func TestFlippedByte(t *testing.T) {
	// Blocks of 4 KiB keep the file small: one that compresses, noise, two runs of zeros.
	b := make([]byte, 6*4096+100)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 4096 {
		b[i], b[4096+i] = byte(i/7), byte(rng.Uint32())
	}
	copy(b[4*4096:], "a single word")
	stored := packSmall(t, b)
	if err := verifyBytes(stored); err != nil {
		t.Fatal(err)
	}
	for at := range stored {
		bad := bytes.Clone(stored)
		bad[at] ^= 1 << (at % 8)
		if err := verifyBytes(bad); err == nil {
			t.Errorf("a bit of byte %d flipped is not noticed", at)
		} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotPacked) && !errors.Is(err, ErrVersion) {
			t.Errorf("a bit of byte %d flipped: untyped error %v", at, err)
		}
	}
	for n := range stored {
		if err := verifyBytes(stored[:n]); err == nil {
			t.Errorf("cut at %d it is taken", n)
		}
	}
	if err := verifyBytes(append(bytes.Clone(stored), 0)); err == nil {
		t.Error("with a byte behind it is taken")
	}

	m, err := open(memory(stored))
	if err != nil {
		t.Fatal(err)
	}
	f := m.find(1)
	bad := bytes.Clone(stored)
	bad[f.at+uint64(f.size)/2] ^= 0x40
	m, err = open(memory(bad))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.AppendFrame(nil, 1); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "block 1") {
		t.Errorf("a damaged frame is handed out: %v", err)
	}
	if err := m.ReadScattered([][]byte{make([]byte, 4096)}, 4096); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged block reads: %v", err)
	}
	if err := m.ReadScattered([][]byte{make([]byte, 4096)}, 0); err != nil {
		t.Errorf("the block before it does not read: %v", err)
	}
}

// memory is a packed file that is not on a disk.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m).ReadAt(p, off) }
func (m memory) Size() uint64                            { return uint64(len(m)) }
func (m memory) String() string                          { return "memory" }
func (m memory) Changed() error                          { return nil }
func (m memory) Close() error                            { return nil }

func verifyBytes(b []byte) error {
	m, err := open(memory(b))
	if err != nil {
		return err
	}
	return m.Verify(context.Background(), new(Progress))
}

// packSmall packs b with blocks of 4 KiB.
func packSmall(t testing.TB, b []byte) []byte { return packNamed(t, b, "small.img") }

func packNamed(t testing.TB, b []byte, name string) []byte {
	t.Helper()
	src, err := image.FromReader(bytes.NewReader(b), uint64(len(b)), name)
	if err != nil {
		t.Fatal(err)
	}
	p := &packer{src: src, progress: new(Progress), header: header{
		geometry: block.Geometry{ImageSize: uint64(len(b)), BlockSize: 4096}, level: codec.Fastest, name: src.Name()}}
	var out bytes.Buffer
	if err := p.pack(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestOpenRefuses: each claim of a file is checked, whatever its digests say.
func TestOpenRefuses(t *testing.T) {
	b := make([]byte, 5*4096)
	copy(b[4096:], "something")
	good := packSmall(t, b)
	for _, tt := range []struct {
		name string
		edit func(b []byte) []byte
		want error
	}{
		{"as it is", func(b []byte) []byte { return reseal(b) }, nil},
		{"nothing", func(b []byte) []byte { return nil }, ErrNotPacked},
		{"a zstd file", func(b []byte) []byte { return codec.AppendZeroFrame(nil, 100) }, ErrNotPacked},
		{"only its first bytes", func(b []byte) []byte { return b[:HeadSize] }, ErrDamaged},
		{"only its header", func(b []byte) []byte { return b[:headerSize] }, ErrDamaged},
		{"version 2", func(b []byte) []byte { b[12] = 2; return reseal(b) }, ErrVersion},
		{"codec 2", func(b []byte) []byte { b[13] = 2; return reseal(b) }, ErrVersion},
		{"another size of header", func(b []byte) []byte { b[4]++; return reseal(b) }, ErrDamaged},
		{"image of 0 bytes", func(b []byte) []byte { clear(b[16:24]); return reseal(b) }, ErrDamaged},
		{"a huge image", func(b []byte) []byte { b[17] = 0x40; return reseal(b) }, ErrDamaged},
		{"blocks of 3 bytes", func(b []byte) []byte { copy(b[24:28], []byte{0, 0, 0, 3}); return reseal(b) }, ErrDamaged},
		{"no name", func(b []byte) []byte { b[28] = 0; return reseal(b) }, ErrDamaged},
		{"a path for a name", func(b []byte) []byte { b[34] = '/'; return reseal(b) }, ErrDamaged},
		{"a count of frames", func(b []byte) []byte { b[len(b)-7]++; return b }, ErrDamaged},
		{"a huge count of frames", func(b []byte) []byte { copy(b[len(b)-9:], []byte{255, 255, 255, 255}); return b }, ErrDamaged},
		{"a frame in the seek table", func(b []byte) []byte { b[len(b)-seekFooter-5*seekEntry]++; return b }, ErrDamaged},
		{"a map of unused blocks", func(b []byte) []byte { return withIndex(b, func(x *index) { x.unused = []byte{0b1010} }) }, nil},
		{"more unused blocks than zeros", func(b []byte) []byte { return withIndex(b, func(x *index) { x.unused = []byte{0b10000} }) }, ErrDamaged},
		{"a longer map", func(b []byte) []byte { return withIndex(b, func(x *index) { x.unused = []byte{1, 0} }) }, ErrDamaged},
		{"a frame more", func(b []byte) []byte {
			return withIndex(b, func(x *index) { x.frames = append(x.frames, x.frames[0]) })
		}, ErrDamaged},
		{"a frame too long", func(b []byte) []byte { return withIndex(b, func(x *index) { x.frames[0].size = 5000 }) }, ErrDamaged},
		{"another image digest", func(b []byte) []byte { return withIndex(b, func(x *index) { x.image[3]++ }) }, ErrDamaged},
		{"a signature", func(b []byte) []byte { return withSignature(b, Signature{7, []byte("signed")}) }, nil},
		{"a signature without a kind", func(b []byte) []byte { return withSignature(b, Signature{0, []byte("signed")}) }, ErrDamaged},
		{"a kind without a signature", func(b []byte) []byte { return withSignature(b, Signature{7, nil}) }, ErrDamaged},
	} {
		m, err := open(memory(tt.edit(bytes.Clone(good))))
		if !errors.Is(err, tt.want) || (m == nil) != (tt.want != nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	m, err := open(memory(withIndex(withSignature(bytes.Clone(good), Signature{7, []byte("signed")}), func(x *index) { x.unused = []byte{0b1010} })))
	if err != nil {
		t.Fatal(err)
	}
	if i := m.Info(); i.ZeroBlocks != 4 || !i.UnusedKnown || i.UnusedBlocks != 2 || i.Signature.Kind != 7 || string(i.Signature.Bytes) != "signed" {
		t.Errorf("Info = %+v", i)
	}
}

// parts are the frames behind the data, and what is before them.
func parts(b []byte) (data, manifest, index, slot []byte) {
	count := int(binary.LittleEndian.Uint32(b[len(b)-seekFooter:]))
	tableAt := len(b) - seekFooter - count*seekEntry - skippableHeader
	size := func(back int) int {
		return int(binary.LittleEndian.Uint32(b[len(b)-seekFooter-back*seekEntry:]))
	}
	slotAt := tableAt - size(1)
	indexAt := slotAt - size(2)
	manifestAt := indexAt - size(3)
	return b[:manifestAt], b[manifestAt:indexAt], b[indexAt:slotAt], b[slotAt:tableAt]
}

// withIndex puts another index into a file, with the digests and the seek table that it needs.
func withIndex(b []byte, edit func(*index)) []byte {
	data, manifest, old, slot := parts(b)
	m, err := codec.ParseManifest(manifest[skippableHeader:], geometryOf(b))
	if err != nil {
		return b
	}
	n := int(binary.BigEndian.Uint32(old[skippableHeader+8:]))
	x := index{image: codec.Digest(old[skippableHeader+16:])}
	for i := range n {
		at := skippableHeader + indexHead + i*indexEntry
		x.frames = append(x.frames, stored{binary.BigEndian.Uint32(old[at:]), binary.BigEndian.Uint32(old[at+4:])})
	}
	edit(&x)
	made := x.append(nil, b[:headerSize], m)
	return rebuild(b, data, manifest, made, slot)
}

func withSignature(b []byte, g Signature) []byte {
	data, manifest, index, _ := parts(b)
	return rebuild(b, data, manifest, index, g.append(nil))
}

func geometryOf(b []byte) block.Geometry {
	return block.Geometry{ImageSize: binary.BigEndian.Uint64(b[16:]), BlockSize: binary.BigEndian.Uint32(b[24:])}
}

// rebuild joins the parts, and makes the seek table's last entries fit.
func rebuild(old []byte, data []byte, tail ...[]byte) []byte {
	count := binary.LittleEndian.Uint32(old[len(old)-seekFooter:])
	entries := old[len(old)-seekFooter-int(count)*seekEntry : len(old)-seekFooter]
	seek := seekTable{entries: bytes.Clone(entries[:len(entries)-tailEntries*seekEntry]), count: count - tailEntries}
	made := bytes.Clone(data)
	for _, frame := range tail {
		made = append(made, frame...)
		seek.add(uint64(len(frame)), 0)
	}
	return seek.append(made)
}

// reseal gives the index the digest that the header and the manifest ask for.
func reseal(b []byte) []byte {
	return withIndex(b, func(*index) {})
}

// TestPackRefuses: no other file is replaced, and nothing is left of what failed.
func TestPackRefuses(t *testing.T) {
	folder := t.TempDir()
	b := content(3 * mib)
	path := filepath.Join(folder, "disk.img")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := image.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	other := filepath.Join(folder, "other")
	if err := os.WriteFile(other, []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(folder, "x.mspack.zst")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name, out string
		ctx       context.Context
		src       image.Source
		want      string
	}{
		{"over itself", path, t.Context(), src, "is the image itself"},
		{"over another file", other, t.Context(), src, "is no packed image"},
		{"to a folder", folder, t.Context(), src, "is not a regular file"},
		{"to a device", "/dev/null", t.Context(), src, "is not a regular file"},
		{"into no folder", filepath.Join(folder, "none", "x"), t.Context(), src, "no such file"},
		{"cancelled", out, over, src, "canceled"},
		{"one that changes", out, t.Context(), changing{src}, "changed while it is served"},
		{"a long name", out, t.Context(), named{src, strings.Repeat("x", 256)}, "256 bytes"},
		{"a path for a name", out, t.Context(), named{src, "a/b"}, "no name of a file"},
	} {
		err := Pack(tt.ctx, tt.src, tt.out, Options{Level: codec.Fastest})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 {
		t.Errorf("%v left, %v", entries, err)
	}
	for _, o := range []Options{{Level: codec.Fastest}, {Level: codec.Best}} { // a packed image may be replaced
		if err := Pack(t.Context(), src, out, o); err != nil {
			t.Error(err)
		}
	}
	if err := Pack(t.Context(), src, other, Options{Level: codec.Fastest, Force: true}); err != nil {
		t.Error(err)
	}
	m := openImage(t, out)
	if err := m.UnpackFile(t.Context(), path, false, new(Progress)); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("unpack over a file: %v", err)
	}
	if err := m.UnpackFile(t.Context(), out, true, new(Progress)); err == nil || !strings.Contains(err.Error(), "itself") {
		t.Errorf("unpack over itself: %v", err)
	}
	if err := m.UnpackFile(t.Context(), other, true, new(Progress)); err != nil || !bytes.Equal(readFile(t, other), b) {
		t.Errorf("unpack over a file by force: %v", err)
	}
}

type changing struct{ image.Source }

func (changing) Changed() error { return image.ErrChanged }

type named struct {
	image.Source
	name string
}

func (n named) Name() string { return n.name }

// TestLongRunsOfZeros: holes of many GiB are a few frames, found in no time.
func TestLongRunsOfZeros(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 5<<30 + 3*mib
	if err := f.Truncate(size); err != nil {
		t.Skipf("this file system has no such files: %v", err)
	}
	if _, err := f.WriteAt([]byte("in the middle"), 3<<30); err != nil {
		t.Fatal(err)
	}
	src, err := image.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	out := filepath.Join(t.TempDir(), "x.mspack.zst")
	if err := Pack(t.Context(), src, out, Options{Level: codec.Fastest}); err != nil {
		t.Fatal(err)
	}
	m := openImage(t, out)
	// 2 GiB and 1 GiB, the block, and 2 GiB + 2 MiB in two.
	if len(m.frames) != 5 {
		t.Errorf("%d frames, want 5", len(m.frames))
	}
	if n := len(readFile(t, out)); n > 400_000 {
		t.Errorf("packed it has %d bytes", n)
	}
	got := make([]byte, 13)
	if _, err := m.ReadAt(got, 3<<30); err != nil || string(got) != "in the middle" {
		t.Errorf("reads %q, %v", got, err)
	}
}

// TestOpenSource: a regular file that is a packed image is that; a file that is cut, or of a
// later version, is an error and not served as it is.
func TestOpenSource(t *testing.T) {
	b := content(mib + 5)
	path := pack(t, b, Options{Level: codec.Fastest})
	s, err := OpenSource(path)
	if err != nil || s.Size() != uint64(len(b)) {
		t.Fatalf("a packed image: %v", err)
	}
	s.Close()
	stored := readFile(t, path)
	raw, err := OpenSource(write(t, "raw.img", b))
	if err != nil || raw.Size() != uint64(len(b)) {
		t.Fatalf("an image: %v", err)
	}
	raw.Close()
	if _, err := OpenSource(write(t, "cut", stored[:len(stored)-1])); !errors.Is(err, ErrDamaged) {
		t.Errorf("one that is cut: %v", err)
	}
	later := bytes.Clone(stored)
	later[12] = 9
	if _, err := OpenSource(write(t, "later", later)); !errors.Is(err, ErrVersion) {
		t.Errorf("one of a later version: %v", err)
	}
	short, err := OpenSource(write(t, "short", []byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	short.Close()
}

// FuzzOpen: whatever opens, with right digests put into it, verifies or is refused, and decodes
// to what it says.
func FuzzOpen(f *testing.F) {
	b := make([]byte, 5*4096+9)
	copy(b[4096:], "something")
	good := packSmall(f, b)
	f.Add(good)
	f.Add(withSignature(bytes.Clone(good), Signature{1, []byte("signed")}))
	f.Add(withIndex(bytes.Clone(good), func(x *index) { x.unused = []byte{0b1010} }))
	f.Add(packSmall(f, []byte{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, file := range [][]byte{b, tryReseal(b)} {
			m, err := open(memory(file))
			if err != nil {
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotPacked) && !errors.Is(err, ErrVersion) {
					t.Fatalf("untyped error %v", err)
				}
				continue
			}
			if m.Size() > 1<<30 {
				continue // zeros for the most part: nothing is wrong, and it takes long
			}
			if err := m.Verify(t.Context(), new(Progress)); err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Fatalf("untyped error %v", err)
				}
				continue
			}
			library, err := zstd.NewReader(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			want, err := io.ReadAll(library)
			library.Close()
			if err != nil {
				t.Fatalf("a zstd program does not take what verifies: %v", err)
			}
			var got bytes.Buffer
			if err := m.Unpack(t.Context(), &got, new(Progress)); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("a zstd program makes %d bytes, and we %d: %v", len(want), got.Len(), err)
			}
		}
	})
}

// tryReseal is reseal for a file whose parts may lie anywhere.
func tryReseal(b []byte) (sealed []byte) {
	defer func() {
		if recover() != nil { // its parts lie beyond its end
			sealed = b
		}
	}()
	return reseal(bytes.Clone(b))
}

// BenchmarkPack is the rate of all cores; MB/s of plain bytes.
func BenchmarkPack(b *testing.B) {
	plain := content(64 * mib)
	src, err := image.FromReader(bytes.NewReader(plain), uint64(len(plain)), "x")
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "x.mspack.zst")
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if err := Pack(b.Context(), src, path, Options{Level: codec.Fastest, NoVerify: true}); err != nil {
			b.Fatal(err)
		}
	}
}
