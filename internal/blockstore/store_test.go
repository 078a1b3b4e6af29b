package blockstore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/image"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	blockSize  = 256 << 10
	symbolSize = 1440
)

// disk is an image in memory. Reading below bad fails.
type disk struct {
	bytes []byte
	bad   int64
	hole  block.Range // bytes
	wait  chan struct{}
	// changed: somebody writes to it.
	changed bool
}

func (d *disk) Changed() error {
	if d.changed {
		return errors.New("somebody wrote")
	}
	return nil
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	if d.wait != nil {
		<-d.wait
	}
	if off < d.bad {
		return 0, errors.New("input/output error")
	}
	return copy(p, d.bytes[off:]), nil
}

func (d *disk) IsHole(off, length uint64) bool { return off >= d.hole.Lo && off+length <= d.hole.Hi }

func random(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	return b
}

// room has a Store of a source and records what it tells.
type room struct {
	*testing.T
	*Store
	k        map[sender.Ref]uint16
	zeros    map[block.ID]bool
	complete wire.Completion
}

func newRoom(t *testing.T, source image.Source, folder string) *room {
	t.Helper()
	return newRoomOf(t, source, folder, CompressNever)
}

func newRoomOf(t *testing.T, source image.Source, folder string, compress Compress) *room {
	t.Helper()
	r := &room{T: t, k: map[sender.Ref]uint16{}, zeros: map[block.ID]bool{}}
	s, err := New(Config{
		Source: source, Geometry: block.Geometry{ImageSize: source.Size(), BlockSize: blockSize}, SymbolSize: symbolSize,
		CacheFolder: folder, Compress: compress,
		Ready:    func(ref sender.Ref, k uint16) { r.k[ref] = k },
		Zero:     func(id block.ID) { r.zeros[id] = true },
		Complete: func(c wire.Completion) { r.complete = c },
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Store = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return r
}

func fromMemory(t *testing.T, d *disk) image.Source {
	s, err := image.FromReader(d, uint64(len(d.bytes)), "disk")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read reads blocks of the image ahead, and returns the first error.
func (r *room) read(ids ...block.ID) error {
	for _, id := range ids {
		r.ReadAhead([]sender.Ref{{Object: wire.Image, Block: id}}, false)
		if err := r.wait(); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads what no one has read, as while there is nothing to send.
func (r *room) readAll() error {
	for r.Completion() == (wire.Completion{}) {
		r.ReadAhead(nil, true)
		if err := r.wait(); err != nil {
			return err
		}
	}
	return nil
}

func (r *room) wait() error {
	for len(r.loading) > 0 {
		if err := r.HandleLoaded(<-r.Loaded()); err != nil {
			return err
		}
	}
	return nil
}

// symbol returns a symbol's bytes.
func (r *room) symbol(ref sender.Ref, id block.SymbolID) []byte {
	r.Helper()
	dst := make([]byte, symbolSize)
	if err := r.PutSymbol(dst, ref, &wire.Symbol{Symbol: id, K: r.k[ref]}); err != nil {
		r.Fatal(err)
	}
	return dst
}

// TestSymbols: the source symbols are the encoded block, and the repair symbols those of
// the code, in whatever order they are asked for.
func TestSymbols(t *testing.T) {
	d := &disk{bytes: random(2*blockSize + 777)}
	r := newRoom(t, fromMemory(t, d), "")
	if err := r.read(0, 1, 2); err != nil {
		t.Fatal(err)
	}
	for id := range block.ID(3) {
		ref := sender.Ref{Object: wire.Image, Block: id}
		plain := d.bytes[int(id)*blockSize:][:r.cfg.Geometry.Size(id)]
		var encoded []byte
		for n := range r.k[ref] {
			encoded = append(encoded, r.symbol(ref, block.SymbolID(n))...)
		}
		got, _, err := new(codec.Decoder).Decode(nil, encoded[:codec.HeaderSize+len(plain)], len(plain))
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("block %d: its source symbols are another block: %v", id, err)
		}
		if rest := encoded[codec.HeaderSize+len(plain):]; !codec.IsZero(append(rest, 0)) || len(rest) >= symbolSize {
			t.Errorf("block %d: the last symbol is not filled up with zeros", id)
		}
		for _, row := range []uint32{0, 1, 5, 2, 9} {
			want := [][]byte{make([]byte, symbolSize)}
			if err := new(fec.Encoder).Encode(want, encoded, row); err != nil {
				t.Fatal(err)
			}
			symbol := block.SymbolID(uint32(r.k[ref]) + row)
			if got := r.symbol(ref, symbol); !bytes.Equal(got, want[0]) {
				t.Errorf("block %d: the repair symbol of row %d is another", id, row)
			}
		}
		digests, k, sent, err := r.SubblockDigests(ref)
		if err != nil || k != r.k[ref] || sent != 0 || len(digests) != len(codec.AppendSubblockDigests(nil, plain)) || digests[0] != codec.AppendSubblockDigests(nil, plain)[0] {
			t.Errorf("block %d: %d digests of sub-blocks, K %d, %v", id, len(digests), k, err)
		}
	}
}

// TestZerosAndHoles: zeros are told and not sent, and a hole is not even read.
func TestZerosAndHoles(t *testing.T) {
	d := &disk{bytes: random(4 * blockSize), bad: blockSize, hole: block.Range{Hi: blockSize}}
	clear(d.bytes[:blockSize])
	clear(d.bytes[2*blockSize : 3*blockSize])
	r := newRoom(t, fromMemory(t, d), "")
	if err := r.readAll(); err != nil {
		t.Fatal(err)
	}
	if !r.zeros[0] || !r.zeros[2] || len(r.zeros) != 2 || r.complete == (wire.Completion{}) {
		t.Errorf("zeros %v, completion %+v", r.zeros, r.complete)
	}
	clear(r.zeros)
	if err := r.read(2, 3); err != nil {
		t.Fatal(err)
	}
	if !r.zeros[2] || r.k[sender.Ref{Object: wire.Image, Block: 3}] == 0 {
		t.Errorf("with the manifest known: zeros %v, ready %v", r.zeros, r.k)
	}
	// The manifest travels like the image.
	ref := sender.Ref{Object: wire.Manifest}
	r.ReadAhead([]sender.Ref{ref}, false)
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if first := r.symbol(ref, 0)[codec.HeaderSize:]; !bytes.HasPrefix(r.digests.manifest.Bytes(), first[:20]) {
		t.Error("what is sent of the manifest is not the manifest")
	}
}

// TestReadsOtherwise: a block that reads differently than before is another image, whether
// it is read ahead or for repair, and what was kept of the manifest is gone.
func TestReadsOtherwise(t *testing.T) {
	for name, change := range map[string]func(d []byte){
		"another byte": func(d []byte) { d[blockSize+5] ^= 1 },
		"zeros now":    func(d []byte) { clear(d[blockSize : 2*blockSize]) },
	} {
		for _, repair := range []bool{false, true} {
			folder, path := t.TempDir(), filepath.Join(t.TempDir(), "an.img")
			content := random(3 * blockSize)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			source, err := image.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			r := newRoom(t, source, folder)
			if err := r.readAll(); err != nil {
				t.Fatal(err)
			}
			if kept, _ := filepath.Glob(folder + "/*.manifest"); len(kept) != 1 {
				t.Fatalf("the manifest is not kept: %v", kept)
			}
			change(content)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if repair {
				err = r.PutSymbol(make([]byte, symbolSize), sender.Ref{Block: 1}, &wire.Symbol{K: 183})
			} else {
				err = r.read(1)
			}
			if !errors.Is(err, image.ErrChanged) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, for repair %v: %v", name, repair, err)
			}
			if kept, _ := filepath.Glob(folder + "/*"); len(kept) != 0 {
				t.Errorf("%s: the wrong manifest is still kept: %v", name, kept)
			}
		}
	}
}

// TestReadsOtherwiseBefore: so it is before the manifest is complete.
func TestReadsOtherwiseBefore(t *testing.T) {
	d := &disk{bytes: random(3 * blockSize)}
	r := newRoom(t, fromMemory(t, d), "")
	if err := r.read(1); err != nil {
		t.Fatal(err)
	}
	delete(r.cache.blocks, sender.Ref{Object: wire.Image, Block: 1})
	d.bytes[blockSize] ^= 1
	if err := r.read(1); err == nil {
		t.Error("a block may read differently than before")
	}
}

// TestChangedWhileRead: a manifest of an image that changed while it was read is of no
// version, and is neither told nor kept.
func TestChangedWhileRead(t *testing.T) {
	for name, hole := range map[string]block.Range{"bytes": {}, "a hole": {Lo: blockSize, Hi: 2 * blockSize}} {
		d := &disk{bytes: random(2 * blockSize), hole: hole}
		clear(d.bytes[hole.Lo:hole.Hi])
		r := newRoom(t, fromMemory(t, d), "")
		if err := r.read(0); err != nil {
			t.Fatal(err)
		}
		d.changed = true
		if err := r.readAll(); !errors.Is(err, image.ErrChanged) {
			t.Errorf("%s: the last block is taken: %v", name, err)
		}
		if r.complete != (wire.Completion{}) {
			t.Errorf("%s: the manifest is complete: %+v", name, r.complete)
		}
	}
}

// TestUnreadable: a block that cannot be read ends the session, read ahead or for repair.
func TestUnreadable(t *testing.T) {
	d := &disk{bytes: random(2 * blockSize), bad: blockSize}
	r := newRoom(t, fromMemory(t, d), "")
	if err := r.read(0); err == nil || !strings.Contains(err.Error(), "offset 0") {
		t.Errorf("read ahead: %v", err)
	}
	if err := r.PutSymbol(make([]byte, symbolSize), sender.Ref{}, &wire.Symbol{K: 183}); err == nil {
		t.Error("for repair: no error")
	}
}

// TestManifestRecalled: a session with the same file knows all digests; a manifest that is
// damaged, too large, or of another version is not needed.
func TestManifestRecalled(t *testing.T) {
	folder, path := t.TempDir(), filepath.Join(t.TempDir(), "an.img")
	content := random(3 * blockSize)
	open := func() image.Source {
		source, err := image.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { source.Close() })
		return source
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	first := newRoom(t, open(), folder)
	if err := first.readAll(); err != nil {
		t.Fatal(err)
	}
	if got := newRoom(t, open(), folder).Completion(); got != first.Completion() || got.ManifestSize == 0 {
		t.Errorf("the next session begins with %+v, want %+v", got, first.Completion())
	}
	if got := newRoom(t, open(), "").Completion(); got.ManifestSize != 0 {
		t.Error("without a folder a manifest was kept")
	}
	kept, _ := filepath.Glob(folder + "/*.manifest")
	whole, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"damaged":   append([]byte{whole[0] ^ 1}, whole[1:]...),
		"too large": append(bytes.Clone(whole), make([]byte, 1000)...),
		"empty":     {},
	} {
		if err := os.WriteFile(kept[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := newRoom(t, open(), folder).Completion(); got.ManifestSize != 0 {
			t.Errorf("%s: it is used", name)
		}
	}
	// A file that is too large is not even read: nobody has room for this one.
	if err := os.Truncate(kept[0], 1<<42); err != nil {
		t.Logf("no sparse files here: %v", err)
	} else if got := newRoom(t, open(), folder).Completion(); got.ManifestSize != 0 {
		t.Error("a manifest of 4 TiB is used")
	}
	if err := os.WriteFile(kept[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if got := newRoom(t, open(), folder).Completion(); got.ManifestSize != 0 {
		t.Error("the manifest of another version of the file is used")
	}
}

// TestBounded: the cache does not grow with the image, and a block that has left it is
// read again.
func TestBounded(t *testing.T) {
	d := &disk{bytes: random((cachedBlocks + 5) * blockSize)}
	r := newRoom(t, fromMemory(t, d), "")
	for id := range block.ID(cachedBlocks + 5) {
		if err := r.read(id); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.cache.blocks); n != cachedBlocks {
		t.Errorf("%d blocks are cached, want %d", n, cachedBlocks)
	}
	ref := sender.Ref{Object: wire.Image}
	if r.cache.blocks[ref] != nil {
		t.Fatal("the block that was of use longest ago is still cached")
	}
	if got := r.symbol(ref, 0)[codec.HeaderSize:]; !bytes.HasPrefix(d.bytes, got) {
		t.Error("a block that was read again is another")
	}
}

// TestStalled: a disk that does not answer is a stall, until it does.
func TestStalled(t *testing.T) {
	d := &disk{bytes: random(2 * blockSize), wait: make(chan struct{})}
	r := newRoom(t, fromMemory(t, d), "")
	r.ReadAhead([]sender.Ref{{Object: wire.Image}}, false)
	if r.Stalled() {
		t.Error("a load that has just begun is a stall")
	}
	r.loadedAt = r.loadedAt.Add(-stallTime)
	if !r.Stalled() {
		t.Error("a load that takes two seconds is no stall")
	}
	close(d.wait)
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if r.Stalled() {
		t.Error("it is a stall after the block was read")
	}
}

// TestSymbolAllocations: a symbol from the cache allocates nothing.
func TestSymbolAllocations(t *testing.T) {
	r := newRoom(t, fromMemory(t, &disk{bytes: random(blockSize)}), "")
	if err := r.read(0); err != nil {
		t.Fatal(err)
	}
	dst, k := make([]byte, symbolSize), r.k[sender.Ref{Object: wire.Image}]
	y := &wire.Symbol{K: k, Symbol: block.SymbolID(k)}
	if n := testing.AllocsPerRun(100, func() {
		y.Symbol++
		if err := r.PutSymbol(dst, sender.Ref{}, y); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%.0f allocations for a repair symbol", n)
	}
}
