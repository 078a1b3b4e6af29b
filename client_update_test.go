package multiserver

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/receiver"
	"multiserver/internal/target"
	"multiserver/internal/wire"
)

// TestSymbolsHeld: every symbol that counts as held has the bytes of the image's, and
// those that lie within pieces that are alike do count.
func TestSymbolsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 70_000).Draw(t, "plain bytes")
		size := rapid.IntRange(50, 9000).Draw(t, "symbol bytes")
		image := make([]byte, n)
		for i := range image {
			image[i] = byte(i * 7)
		}
		there := bytes.Clone(image)
		flipped := rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 4).Draw(t, "flipped")
		for _, at := range flipped {
			there[at] ^= 1
		}
		k := (codec.HeaderSize + n + size - 1) / size
		list := &pieceList{k: uint16(k), digests: codec.AppendSubblockDigests(nil, image)}
		have := symbolsHeld(list, codec.AppendSubblockDigests(nil, there), n, size)
		for i := range k {
			// By the bytes of the plain block that the symbol has.
			lo, hi := max(0, i*size-codec.HeaderSize), min(n, (i+1)*size-codec.HeaderSize)
			near := false // something was flipped in a piece that it touches
			for _, at := range flipped {
				p := at / codec.SubblockSize
				near = near || hi > lo && p >= lo/codec.SubblockSize && p <= (hi-1)/codec.SubblockSize && there[at] != image[at]
			}
			if held := have[i/64]>>(i%64)&1 != 0; held == near {
				t.Fatalf("symbol %d of %d, bytes %d to %d: held %v", i, k, lo, hi, held)
			}
		}
		list.k++
		for _, w := range symbolsHeld(list, list.digests, n, size) {
			if w != 0 {
				t.Fatal("symbols of a block that goes encoded otherwise are held")
			}
		}
	})
}

// differing is a client whose target of count blocks holds nothing of the image, which
// it knows by the manifest; it waits for the pieces of all blocks.
func differing(t *testing.T, count uint32) *symbolClient {
	const symbolSize = 1024
	g := block.Geometry{ImageSize: uint64(count) * 8192, BlockSize: 8192}
	builder, err := codec.NewManifestBuilder(codec.Sizes(g))
	if err != nil {
		t.Fatal(err)
	}
	for id := range count {
		if err := builder.Set(id, codec.Sum([]byte{byte(id), byte(id >> 8)})); err != nil {
			t.Fatal(err)
		}
	}
	file, err := target.Open(target.Options{Path: filepath.Join(t.TempDir(), "out")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file.Name()); file.Close() })
	d := &wire.Description{Session: 1, Geometry: g, SymbolSize: symbolSize}
	s := &symbolClient{
		Client: &Client{cfg: ClientConfig{Log: slog.New(slog.DiscardHandler)}},
		found:  found{session: d}, session: *d, out: file, manifest: builder.Manifest(), slots: make([]slot, 64),
		engine: receiver.New(0, receiver.Config{
			Image: g, SymbolSize: symbolSize, Window: 64, Rand: rand.New(rand.NewPCG(1, 1)), Subblocks: true,
		}, receiver.Session{ID: 1}),
		toWrite: make(chan writeJob, 128),
		checks: checking{
			file: file, jobs: make(chan checkJob, checksInFlight+fillsInFlight),
			pieces: map[block.ID]*pieceList{}, doubting: true,
		},
	}
	all := block.Range{Lo: 0, Hi: uint64(count)}
	s.engine.MarkUnverified(0, all)
	for id := range count {
		s.engine.Confirm(0, block.ID(id), false)
	}
	return s
}

// piecesOf is a packet of the digests of count pieces from first on.
func piecesOf(id block.ID, k, first, count uint16) wire.SubblockDigests {
	p := wire.SubblockDigests{Session: 1, Block: id, K: k, First: first}
	for range count {
		p.Digests = p.Digests.Append(7)
	}
	return p
}

// TestPiecesOfTwoKinds: of a block whose pieces come with another K while they wait to
// be compared, one comparison is made, of a whole list.
func TestPiecesOfTwoKinds(t *testing.T) {
	s := differing(t, 1)
	for _, p := range []wire.SubblockDigests{piecesOf(0, 9, 0, 2), piecesOf(0, 8, 0, 1), piecesOf(0, 8, 1, 1)} {
		s.takePieces(p)
	}
	s.handChecks()
	if n := len(s.checks.jobs); n != 1 {
		t.Fatalf("%d jobs, want 1", n)
	}
	if job := <-s.checks.jobs; job.list == nil || job.list.missing != 0 || job.list.k != 9 {
		t.Errorf("what is compared is %+v", job.list)
	}
}

// TestPieceListsAreBounded: the last of a block's pieces may never come, since the block
// came for somebody else.
func TestPieceListsAreBounded(t *testing.T) {
	const count = 3 * maxPieceLists
	s := differing(t, count)
	for id := range block.ID(count) {
		s.takePieces(piecesOf(id, 9, 0, 1))
		s.engine.Confirm(0, id, true)
		if n := len(s.checks.pieces); n > maxPieceLists {
			t.Fatalf("%d lists after %d blocks", n, id+1)
		}
	}
	s.takePieces(piecesOf(0, 9, 0, 2))
	if len(s.checks.complete) != 0 {
		t.Error("pieces of a block that is there are compared")
	}
}
