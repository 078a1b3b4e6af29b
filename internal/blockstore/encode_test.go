package blockstore

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/image"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

// newCompressing has a Store that compresses blocks, of which the noise ones do not compress.
func newCompressing(t *testing.T, blocks int, noise ...block.ID) (*room, []byte) {
	t.Helper()
	plain := bytes.Repeat([]byte("a root file system, mostly; "), 1+blocks*blockSize/28)[:blocks*blockSize]
	for id := range blocks { // no two are the same
		copy(plain[id*blockSize:], random(50+id))
	}
	for _, id := range noise {
		copy(plain[int(id)*blockSize:][:blockSize], random(blockSize))
	}
	r := newRoomOf(t, fromMemory(t, &disk{bytes: plain}), "", CompressAlways)
	if !r.Compressing() || !r.Coded() {
		t.Fatal("nothing is compressed")
	}
	return r, plain
}

// codecOf is a block's codec, once all of it was compared with the image.
func (r *room) codecOf(plain []byte, id block.ID) codec.Codec {
	r.Helper()
	encoded := r.block(sender.Ref{Block: id})
	p := plain[int(id)*blockSize:][:blockSize]
	got, _, err := new(codec.Decoder).Decode(nil, encoded, len(p))
	if err != nil || !bytes.Equal(got, p) {
		r.Fatalf("block %d is another: %v", id, err)
	}
	return codec.Codec(encoded[0])
}

// TestCompresses: blocks are sent compressed where that saves enough, and a block that has left the
// cache is encoded again as it was, for repair and for a carousel.
func TestCompresses(t *testing.T) {
	r, plain := newCompressing(t, 3, 1)
	if err := r.read(0, 1, 2); err != nil {
		t.Fatal(err)
	}
	was := map[block.ID][]byte{}
	for id, want := range []codec.Codec{codec.Zstd, codec.Raw, codec.Zstd} {
		if got := r.codecOf(plain, block.ID(id)); got != want {
			t.Errorf("block %d is sent %v", id, got)
		}
		was[block.ID(id)] = r.block(sender.Ref{Block: block.ID(id)})
	}
	r.cache.drop(func(sender.Ref) bool { return true })
	for id, b := range was { // by PutSymbol
		if !bytes.Equal(r.block(sender.Ref{Block: id}), b) {
			t.Errorf("block %d is another for repair", id)
		}
	}
	r.cache.drop(func(sender.Ref) bool { return true })
	clear(r.k)
	if err := r.read(0, 1, 2); err != nil {
		t.Fatal(err)
	}
	for id, b := range was {
		if !bytes.Equal(r.block(sender.Ref{Block: id}), b) {
			t.Errorf("block %d is another in the next pass", id)
		}
	}
}

// TestEncodedOtherwise: an encoder that makes another frame of a block than before would poison what
// receivers have of it.
func TestEncodedOtherwise(t *testing.T) {
	r, _ := newCompressing(t, 2)
	if err := r.read(0, 1); err != nil {
		t.Fatal(err)
	}
	r.cache.drop(func(sender.Ref) bool { return true })
	r.encoding.pins[0]++
	r.encoding.pins[1]++
	if err := r.PutSymbol(make([]byte, symbolSize), sender.Ref{}, &wire.Symbol{K: r.k[sender.Ref{}]}); !errors.Is(err, image.ErrChanged) {
		t.Errorf("for repair: %v", err)
	}
	if err := r.read(1); !errors.Is(err, image.ErrChanged) {
		t.Errorf("in the next pass: %v", err)
	}
}

// TestHurry: a stream that waits gets what no encoder has begun raw, and at the last moment also what
// one has; what was sent compressed before is waited for, and so is everything with CompressAlways.
func TestHurry(t *testing.T) {
	r, plain := newCompressing(t, 5)
	c := r.encoding
	c.busy = c.encoders // with something else
	upcoming := []sender.Ref{{Block: 0}, {Block: 1}, {Block: 2}, {Block: 3}}
	r.ReadAhead(upcoming, false)
	for range upcoming {
		if err := r.HandleLoaded(<-r.Loaded()); err != nil {
			t.Fatal(err)
		}
	}
	r.Hurry(upcoming, 0)
	if len(r.k) != 0 {
		t.Error("with CompressAlways a block goes raw")
	}
	c.mode = CompressAuto
	r.Hurry(upcoming, hungry)
	if len(r.k) != 0 {
		t.Error("a block goes raw although enough are under way")
	}
	c.pins[0] = 7
	r.Hurry(upcoming, hungry-1)
	if len(r.k) != 1 || r.codecOf(plain, 1) != codec.Raw {
		t.Errorf("ready: %v, want block 1", r.k)
	}
	c.pins[0] = undecided
	// An encoder has block 0, and comes back only later.
	at := -1
	for i, l := range c.queue {
		if l.ref.Block == 0 {
			at = i
		}
	}
	l := c.queue[at]
	c.queue = append(c.queue[:at], c.queue[at+1:]...)
	c.begun = append(c.begun, l)
	l.begun = time.Now().Add(time.Hour)
	r.Hurry(upcoming[:1], 0)
	l.begun = time.Time{}
	r.Hurry(upcoming[:1], 1)
	if len(r.k) != 1 {
		t.Error("a block that an encoder has begun goes raw too early")
	}
	r.Hurry(upcoming[:1], 0)
	if len(r.k) != 2 || r.codecOf(plain, 0) != codec.Raw {
		t.Errorf("ready: %v, want block 0 too", r.k)
	}
	l.frame = appendEncoded(nil, l.buf, newFrameEncoder())
	if err := r.HandleLoaded(l); err != nil {
		t.Fatal(err)
	}
	if r.codecOf(plain, 0) != codec.Raw || c.pins[0] != pinnedRaw {
		t.Error("a block that was sent raw is another in the end")
	}
	c.busy = 0
	c.hand()
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if r.codecOf(plain, 2) != codec.Zstd || r.codecOf(plain, 3) != codec.Zstd {
		t.Error("what nothing waits for is not compressed")
	}
}

// TestIncompressible: after some blocks that do not compress hardly any is tried, until one does.
func TestIncompressible(t *testing.T) {
	// 0 to 3 fail, and 7, 15 and 31; 63 does not.
	const blocks, first = 70, 63
	noise := make([]block.ID, 40)
	for i := range noise {
		noise[i] = block.ID(i)
	}
	r, plain := newCompressing(t, blocks, noise...)
	compressed := 0
	for id := range block.ID(blocks) {
		if err := r.read(id); err != nil {
			t.Fatal(err)
		}
		if r.codecOf(plain, id) == codec.Zstd {
			compressed++
		}
	}
	if compressed != blocks-first {
		t.Errorf("%d blocks are compressed, want those from %d on", compressed, first)
	}
}

// TestSendRawWhileEncoding: what encoders have when all is to be raw is dropped, and read again.
func TestSendRawWhileEncoding(t *testing.T) {
	r, plain := newCompressing(t, 2)
	upcoming := []sender.Ref{{Block: 0}, {Block: 1}}
	r.ReadAhead(upcoming, false)
	for range upcoming { // both are encoded, or wait for that
		if err := r.HandleLoaded(<-r.Loaded()); err != nil {
			t.Fatal(err)
		}
	}
	r.SendRaw()
	clear(r.k)
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if len(r.k) != 0 {
		t.Errorf("ready: %v", r.k)
	}
	if err := r.read(0, 1); err != nil {
		t.Fatal(err)
	}
	for id := range block.ID(2) {
		if r.codecOf(plain, id) != codec.Raw {
			t.Errorf("block %d is compressed", id)
		}
	}
}

// TestNewEncoding: with one core none is to spare.
func TestNewEncoding(t *testing.T) {
	g := block.Geometry{ImageSize: 10 * blockSize, BlockSize: blockSize}
	for _, tt := range []struct {
		mode        Compress
		cores, want int
	}{{CompressAuto, 1, 0}, {CompressAuto, 4, 3}, {CompressAuto, 64, maxEncoders}, {CompressNever, 8, 0}, {CompressAlways, 1, 1}} {
		got := 0
		if c := newEncoding(tt.mode, tt.cores, g); c != nil {
			got = c.encoders
		}
		if got != tt.want {
			t.Errorf("mode %d, %d cores: %d encoders, want %d", tt.mode, tt.cores, got, tt.want)
		}
	}
}
