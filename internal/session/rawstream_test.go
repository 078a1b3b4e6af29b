package session

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/image"
	"multiserver/internal/wire"
)

// framedDisk is a source of two blocks that stores frames, as a packed image does.
type framedDisk struct {
	image.Source
	plain    []byte
	manifest *codec.Manifest
	frames   [][]byte
}

func newFramedDisk(t *testing.T) *framedDisk {
	t.Helper()
	d := &framedDisk{plain: bytes.Repeat([]byte("a root file system, mostly; "), 2*block.DefaultBlockSize/28+1)[:2*block.DefaultBlockSize]}
	var err error
	if d.Source, err = image.FromReader(bytes.NewReader(d.plain), uint64(len(d.plain)), "an.img"); err != nil {
		t.Fatal(err)
	}
	g := block.Geometry{ImageSize: uint64(len(d.plain)), BlockSize: block.DefaultBlockSize}
	b, err := codec.NewManifestBuilder(g)
	if err != nil {
		t.Fatal(err)
	}
	e := codec.NewZstdEncoder(codec.Fastest, false)
	for id := range block.ID(2) {
		p := d.plain[g.Offset(id):][:g.Size(id)]
		if err := b.Set(id, codec.Sum(p)); err != nil {
			t.Fatal(err)
		}
		d.frames = append(d.frames, e.Append(nil, p))
	}
	d.manifest = b.Manifest()
	return d
}

func (d *framedDisk) Manifest() *codec.Manifest { return d.manifest }

func (d *framedDisk) FrameSize(id block.ID) int { return len(d.frames[id]) }

func (d *framedDisk) AppendFrame(dst []byte, id block.ID) ([]byte, error) {
	return append(dst, d.frames[id]...), nil
}

// sourceSymbol receives source symbols of the image, the first of a block left out if it has more, and
// returns one.
func (p *peer) sourceSymbol() wire.Symbol {
	p.Helper()
	for {
		var y wire.Symbol
		if wire.ParseSymbol(p.receive(), &y) == nil && y.Object == wire.Image && y.Symbol.IsSource(int(y.K)) && (y.Symbol > 0 || y.K == 1) {
			return y
		}
	}
}

// isRaw reports whether a source symbol is of a raw block of the disk.
func (d *framedDisk) isRaw(y wire.Symbol) bool {
	at := int(y.Block)*block.DefaultBlockSize + int(y.Symbol)*len(y.Data) - codec.HeaderSize
	return bytes.HasPrefix(d.plain[at:], y.Data)
}

// rawK is the K of a raw block.
func (p *peer) rawK() int {
	return block.Cut{EncodedSize: codec.HeaderSize + block.DefaultBlockSize, SymbolSize: p.description.SymbolSize}.K()
}

// TestOlderReceiverAtTheStart: a receiver without zstd that is there when the stream begins makes the
// session a raw one, for all.
func TestOlderReceiverAtTheStart(t *testing.T) {
	d := newFramedDisk(t)
	r := newRoom(t, nil, Config{Source: d})
	p, older := r.joinWith(7, codec.Decodable), r.joinWith(8, 1<<codec.Raw)
	if p.description.Codecs != codec.Decodable {
		t.Errorf("before the beginning blocks may have the codecs %b", p.description.Codecs)
	}
	p.requestAll()
	older.requestAll()
	if y := p.sourceSymbol(); int(y.K) != p.rawK() || !d.isRaw(y) {
		t.Errorf("block %d: K is %d, want %d", y.Block, y.K, p.rawK())
	}
	if got := r.joinWith(9, codec.Decodable).description.Codecs; got != 1<<codec.Raw {
		t.Errorf("in a raw session blocks may have the codecs %b", got)
	}
}

// TestOlderReceiverLater: one that comes later gets a stream of its own, in another group, and the
// others hear nothing of it.
func TestOlderReceiverLater(t *testing.T) {
	d := newFramedDisk(t)
	r := newRoom(t, nil, Config{Source: d})
	p := r.joinWith(7, codec.Decodable)
	p.requestAll()
	if y := p.sourceSymbol(); y.K != 1 || codec.Codec(y.Data[0]) != codec.Zstd || !bytes.HasPrefix(y.Data[codec.HeaderSize:], d.frames[y.Block]) {
		t.Errorf("K is %d: what is stored is not what is sent", y.K)
	}
	older := r.joinWith(8, 1<<codec.Raw)
	if got := older.description; got.Data == p.description.Data || got.Data == (netip.AddrPort{}) || got.Codecs != 1<<codec.Raw || got.Session != r.ID() {
		t.Errorf("it is described %+v", got)
	}
	if again := r.joinWith(9, codec.Decodable).description; again.Data != p.description.Data || again.Codecs != codec.Decodable {
		t.Errorf("the next one is described %+v", again)
	}
	older.requestAll()
	if y := older.sourceSymbol(); int(y.K) != older.rawK() || !d.isRaw(y) {
		t.Errorf("block %d: K is %d, want %d", y.Block, y.K, older.rawK())
	}
	older.goodbye(wire.OutcomeDone)
	p.goodbye(wire.OutcomeDone)
	r.until("both are done", func(f Figures) bool {
		done := 0
		for _, row := range f.Receivers {
			if row.BytesDone == uint64(len(d.plain)) {
				done++
			}
		}
		return done == 2
	})
}

// TestLacking: offers count for a moment, and as long as their receiver is in the session. What is
// kept of them is bounded.
func TestLacking(t *testing.T) {
	l := lacking{}
	knows := func(id wire.ReceiverID) bool { return id == 2 }
	nobody := func(wire.ReceiverID) bool { return false }
	l.record(0, &wire.Offer{Receiver: 1, Codecs: codec.Decodable | 1<<9}, knows)
	if len(l) != 0 {
		t.Error("a receiver that can decode all counts")
	}
	l.record(0, &wire.Offer{Receiver: 2, Codecs: 1 << codec.Raw}, knows)
	for _, c := range []struct {
		now   time.Duration
		knows func(wire.ReceiverID) bool
		want  bool
	}{{joinTime, nobody, true}, {joinTime + 1, nobody, false}, {time.Hour, knows, true}} {
		if got := l.present(c.now, c.knows); got != c.want {
			t.Errorf("after %v: present %v", c.now, got)
		}
	}
	for id := range wire.ReceiverID(maxLacking + 5) {
		l.record(0, &wire.Offer{Receiver: 10 + id}, knows)
	}
	if len(l) != maxLacking {
		t.Errorf("%d are kept", len(l))
	}
	l.record(time.Hour, &wire.Offer{Receiver: 9}, knows)
	if len(l) != 2 || !l.has(2) || !l.has(9) || l.has(10) {
		t.Errorf("%d are kept after an hour", len(l))
	}
}
