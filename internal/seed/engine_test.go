package seed

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/receiver"
	"multiserver/internal/wire"
)

const testSymbol = 1024

// blockDigest is that of block id of the test's image: its bytes are never needed.
func blockDigest(id uint32) codec.Digest { return codec.Sum([]byte{byte(id), byte(id >> 8)}) }

// manifestOf is of an image of count blocks, of which those in zeros are zeros.
func manifestOf(t *testing.T, g block.Geometry, zeros ...uint32) *codec.Manifest {
	t.Helper()
	builder, err := codec.NewManifestBuilder(g)
	if err != nil {
		t.Fatal(err)
	}
	for id := range g.BlockCount() {
		set := func() error { return builder.Set(block.ID(id), blockDigest(id)) }
		if slices.Contains(zeros, id) {
			set = func() error { return builder.SetZero(block.ID(id)) }
		}
		if err := set(); err != nil {
			t.Fatal(err)
		}
	}
	return builder.Manifest()
}

// bench is an engine beside a receiver's.
type bench struct {
	*Engine
	receiver *receiver.Engine
	image    block.Geometry
}

func newBench(count uint32) *bench {
	g := block.Geometry{ImageSize: uint64(count) * 8192, BlockSize: 8192}
	r := receiver.New(0, receiver.Config{
		Image: g, SymbolSize: testSymbol, Window: 64, Rand: rand.New(rand.NewPCG(1, 1)), Subblocks: true,
	}, receiver.Session{ID: 1})
	return &bench{New(Config{Image: g, SymbolSize: testSymbol, Receiver: r, Rand: rand.New(rand.NewPCG(2, 2))}), r, g}
}

// work carries out all jobs as a target would that holds the blocks for which has is true,
// and cannot read those for which bad is.
func (b *bench) work(out *Outcome, has, bad func(id uint32) bool) (read int) {
	for {
		job, ok := b.Next(false)
		if !ok {
			return read
		}
		r := Result{Job: job}
		for i := range job.Blocks.Len() {
			id := uint32(job.Blocks.Lo + i)
			read++
			if bad(id) {
				continue
			}
			r.Readable |= 1 << i
			if r.Digests[i] = codec.Sum([]byte("something else")); has(id) {
				r.Digests[i] = blockDigest(id)
			}
		}
		b.HandleResult(0, &r, out)
	}
}

func no(uint32) bool  { return false }
func yes(uint32) bool { return true }

// TestSamplesDecide: a target that holds nothing of the image costs Samples reads; one that
// holds some is compared as a whole.
func TestSamplesDecide(t *testing.T) {
	const count = 1000
	for _, c := range []struct {
		name  string
		has   func(uint32) bool
		read  int
		kept  uint64
		began bool
	}{
		{"nothing", no, Samples, 0, false},
		{"all", yes, 1 + count - 1, count, true},
		{"the first half", func(id uint32) bool { return id < count/2 }, -1, count / 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(count)
			var out Outcome
			b.SetManifest(0, manifestOf(t, b.image), &out)
			read := b.work(&out, c.has, no)
			if c.read >= 0 && read != c.read {
				t.Errorf("%d blocks were read, want %d", read, c.read)
			}
			if out.KeptBytes != c.kept*8192 || out.Began != c.began || b.checking != c.began || b.UnderWay() != 0 {
				t.Errorf("%d bytes are kept, began %v, %d jobs are under way", out.KeptBytes, out.Began, b.UnderWay())
			}
		})
	}
}

// TestReadBeforeTheManifest: what was read early counts by the manifest alone.
func TestReadBeforeTheManifest(t *testing.T) {
	b := newBench(40)
	var out Outcome
	b.CheckAll(0)
	if !b.NeedsManifest() {
		t.Error("it does without a manifest")
	}
	b.work(&out, func(id uint32) bool { return id%2 == 0 }, no)
	if b.receiver.BlocksDone() != 0 {
		t.Error("blocks count before there is a manifest")
	}
	b.SetManifest(0, manifestOf(t, b.image), &out)
	if b.receiver.BlocksDone() != 20 || out.KeptBytes != 20*8192 || out.Began {
		t.Errorf("%d blocks are there, %d bytes kept", b.receiver.BlocksDone(), out.KeptBytes)
	}
}

// TestWhatDiffers: zeros are written, what cannot be read comes whole, and of the rest the
// sub-blocks are asked for.
func TestWhatDiffers(t *testing.T) {
	b := newBench(8)
	var out Outcome
	b.SetManifest(0, manifestOf(t, b.image, 2, 3), &out)
	b.CheckAll(0)
	b.work(&out, no, func(id uint32) bool { return id == 5 })
	zeros := uint64(0)
	for _, r := range out.Zeros {
		if r.Lo < 2 || r.Hi > 4 {
			t.Errorf("blocks %d to %d are to be zeros", r.Lo, r.Hi-1)
		}
		zeros += r.Len()
	}
	if zeros != 2 {
		t.Errorf("%d blocks are to be zeros, want 2", zeros)
	}
	for id := range uint32(8) {
		var want bool
		switch id {
		case 2, 3, 5:
		default:
			want = true
		}
		if got := b.receiver.HandleSubblockDigests(0, digestsOf(block.ID(id), 9, 0, 1)); got != want {
			t.Errorf("block %d: sub-blocks are waited for: %v", id, got)
		}
	}
}

// TestBusyTargetIsNotRead: but for what is compared by sub-blocks.
func TestBusyTargetIsNotRead(t *testing.T) {
	b := newBench(100)
	b.CheckAll(0)
	if job, ok := b.Next(true); ok {
		t.Errorf("%+v is handed out", job)
	}
	for n := 0; ; n++ {
		if _, ok := b.Next(false); !ok {
			if n != maxRuns {
				t.Errorf("%d jobs are handed out, want %d", n, maxRuns)
			}
			return
		}
	}
}

// TestPresent: a block that came in vain begins the comparison, once.
func TestPresent(t *testing.T) {
	b := newBench(10)
	var first, second Outcome
	b.Present(0, &first)
	b.Present(0, &second)
	if !first.Began || second.Began || !b.checking {
		t.Errorf("it began: %v, then %v", first.Began, second.Began)
	}
}

// TestSymbolsHeld: every symbol that counts as held has the bytes of the image's, and
// those that lie within sub-blocks that are alike do count.
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
		list := &Subblocks{k: uint16(k), digests: codec.AppendSubblockDigests(nil, image)}
		have := SymbolsPresent(list, codec.AppendSubblockDigests(nil, there), n, size)
		for i := range k {
			// By the bytes of the plain block that the symbol has.
			lo, hi := max(0, i*size-codec.HeaderSize), min(n, (i+1)*size-codec.HeaderSize)
			near := false // something was flipped in a sub-block that it touches
			for _, at := range flipped {
				s := at / block.SubblockSize
				near = near || hi > lo && s >= lo/block.SubblockSize && s <= (hi-1)/block.SubblockSize && there[at] != image[at]
			}
			if held := have.Has(uint32(i)); held == near {
				t.Fatalf("symbol %d of %d, bytes %d to %d: held %v", i, k, lo, hi, held)
			}
		}
		list.k++
		for _, w := range SymbolsPresent(list, list.digests, n, size) {
			if w != 0 {
				t.Fatal("symbols of a block that goes encoded otherwise are held")
			}
		}
	})
}

// differing is a target of count blocks that holds nothing of the image, which is known by
// its manifest; the sub-blocks of all blocks are waited for.
func differing(t *testing.T, count uint32) *bench {
	b := newBench(count)
	var out Outcome
	b.CheckAll(0)
	b.SetManifest(0, manifestOf(t, b.image), &out)
	b.work(&out, no, no)
	return b
}

// digestsOf is a packet of the digests of count sub-blocks from first on.
func digestsOf(id block.ID, k, first, count uint16) wire.SubblockDigests {
	p := wire.SubblockDigests{Session: 1, Block: id, K: k, First: first}
	for range count {
		p.Digests = p.Digests.Append(7)
	}
	return p
}

// TestSubblocksOfTwoKinds: of a block whose digests come with another K while they wait to
// be compared, one comparison is made, of a whole list.
func TestSubblocksOfTwoKinds(t *testing.T) {
	b := differing(t, 1)
	for _, p := range []wire.SubblockDigests{digestsOf(0, 9, 0, 2), digestsOf(0, 8, 0, 1), digestsOf(0, 8, 1, 1)} {
		b.HandleSubblocks(0, p)
	}
	job, ok := b.Next(true)
	if !ok || job.Subblocks == nil || job.Subblocks.missing != 0 || job.Subblocks.k != 9 || job.Digest != blockDigest(0) {
		t.Errorf("what is compared is %+v", job)
	}
	if job, ok := b.Next(true); ok {
		t.Errorf("and then %+v", job)
	}
}

// TestSeeds: a quarter of a block is worth putting into the window.
func TestSeeds(t *testing.T) {
	for _, c := range []struct {
		have uint64
		want bool
	}{{0b111, true}, {0b11, false}, {0, false}} {
		b := differing(t, 1)
		b.HandleSubblocks(0, digestsOf(0, 9, 0, 2))
		job, _ := b.Next(true)
		var out Outcome
		b.HandleResult(0, &Result{Job: job, Have: []uint64{c.have}}, &out)
		if (out.Seed.K != 0) != c.want {
			t.Errorf("of symbols %b the seed is %+v", c.have, out.Seed)
		}
		if waits := b.receiver.HandleSubblockDigests(0, digestsOf(0, 9, 0, 1)); waits != c.want {
			t.Errorf("of symbols %b: sub-blocks are waited for: %v", c.have, waits)
		}
	}
}

// TestSeedsTwin: of a block that is sent compressed, symbols of its twin are worth it if fewer are to
// come than of the block.
func TestSeedsTwin(t *testing.T) {
	for _, c := range []struct {
		have uint64
		sent uint16
		want bool
	}{{0b1, 9, true}, {0b1, 8, false}, {0b111111, 3, false}, {0b111111, 4, true}, {0, 9, false}} {
		b := differing(t, 1)
		p := digestsOf(0, 9, 0, 2)
		p.SentK = c.sent
		b.HandleSubblocks(0, p)
		job, _ := b.Next(true)
		var out Outcome
		b.HandleResult(0, &Result{Job: job, Have: []uint64{c.have}}, &out)
		if (out.Seed.K != 0) != c.want || out.Seed.Twin != c.want {
			t.Errorf("of symbols %b, with %d of the block, the seed is %+v", c.have, c.sent, out.Seed)
		}
	}
}

// TestForget: another session may encode a block otherwise.
func TestForget(t *testing.T) {
	b := differing(t, 2)
	b.HandleSubblocks(0, digestsOf(0, 9, 0, 2))
	b.HandleSubblocks(0, digestsOf(1, 9, 0, 1))
	b.Forget()
	if job, ok := b.Next(true); ok || len(b.lists) > 0 {
		t.Errorf("it goes on with %+v and %d lists", job, len(b.lists))
	}
}

// TestListsAreBounded: the last of a block's digests may never come, since the block came
// for somebody else.
func TestListsAreBounded(t *testing.T) {
	const count = 3 * maxLists
	b := differing(t, count)
	for id := range block.ID(count) {
		b.HandleSubblocks(0, digestsOf(id, 9, 0, 1))
		b.receiver.Confirm(0, id, true)
		if n := len(b.lists); n > maxLists {
			t.Fatalf("%d lists after %d blocks", n, id+1)
		}
	}
	b.HandleSubblocks(0, digestsOf(0, 9, 0, 2))
	if len(b.complete) != 0 {
		t.Error("sub-blocks of a block that is there are compared")
	}
}
