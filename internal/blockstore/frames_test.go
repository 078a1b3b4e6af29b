package blockstore

import (
	"bytes"
	"errors"
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/image"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

// stored is a Source that stores frames, as a packed image does.
type stored struct {
	image.Source
	manifest *codec.Manifest
	frames   map[block.ID][]byte
	read     int // frames
	damaged  bool
}

var errDamaged = errors.New("damaged")

// newStored has a block that compresses, one of zeros, one of noise, and a short one.
func newStored(t *testing.T) (*stored, []byte) {
	t.Helper()
	plain := bytes.Repeat([]byte("a root file system, mostly; "), 1+(3*blockSize+5000)/28)[:3*blockSize+5000]
	clear(plain[blockSize : 2*blockSize])
	copy(plain[2*blockSize:3*blockSize], random(blockSize))
	s := &stored{Source: fromMemory(t, &disk{bytes: plain}), frames: map[block.ID][]byte{}}
	g := block.Geometry{ImageSize: uint64(len(plain)), BlockSize: blockSize}
	b, err := codec.NewManifestBuilder(g)
	e := codec.NewZstdEncoder(codec.Fastest, true)
	for id := range block.ID(g.BlockCount()) {
		p := plain[g.Offset(id):][:g.Size(id)]
		switch {
		case err != nil:
			t.Fatal(err)
		case codec.IsZero(p):
			err = b.SetZero(id)
		default:
			err = b.Set(id, codec.Sum(p))
			s.frames[id] = e.Append(nil, p)
		}
	}
	s.manifest = b.Manifest()
	return s, plain
}

func (s *stored) Manifest() *codec.Manifest { return s.manifest }

func (s *stored) FrameSize(id block.ID) int { return len(s.frames[id]) }

func (s *stored) AppendFrame(dst []byte, id block.ID) ([]byte, error) {
	if s.damaged {
		return nil, errDamaged
	}
	s.read++
	return append(dst, s.frames[id]...), nil
}

// block puts the source symbols of a block together.
func (r *room) block(ref sender.Ref) (encoded []byte) {
	for n := range r.k[ref] {
		encoded = append(encoded, r.symbol(ref, block.SymbolID(n))...)
	}
	return encoded
}

// TestStoredFrames: what a source stores is sent as it is, where that saves enough. The twin of a
// block is raw, and the digests of sub-blocks are of its plain bytes, with the block's own K.
func TestStoredFrames(t *testing.T) {
	source, plain := newStored(t)
	r := newRoom(t, source, "")
	if !r.Coded() || r.Completion().ManifestSize == 0 {
		t.Fatalf("coded %v, the manifest's size is %d", r.Coded(), r.Completion().ManifestSize)
	}
	if err := r.read(0, 1, 2, 3); err != nil {
		t.Fatal(err)
	}
	if source.read != 2 || !r.zeros[1] {
		t.Errorf("%d frames were read, zeros %v", source.read, r.zeros)
	}
	var d codec.Decoder
	for id, want := range map[block.ID]codec.Codec{0: codec.Zstd, 2: codec.Raw, 3: codec.Zstd} {
		ref, twin := sender.Ref{Block: id}, sender.Ref{Object: wire.Twin, Block: id}
		r.ReadAhead([]sender.Ref{twin}, false)
		if err := r.wait(); err != nil {
			t.Fatal(err)
		}
		for _, each := range []struct {
			ref  sender.Ref
			want codec.Codec
		}{{ref, want}, {twin, codec.Raw}} {
			encoded := r.block(each.ref)
			p := plain[int(id)*blockSize:][:r.cfg.Geometry.Size(id)]
			got, _, err := d.Decode(nil, encoded, len(p))
			if err != nil || !bytes.Equal(got, p) || codec.Codec(encoded[0]) != each.want {
				t.Errorf("block %d of object %d is encoded as %d: %v", id, each.ref.Object, encoded[0], err)
			}
		}
		digests, k, sent, err := r.SubblockDigests(ref)
		wantSent := r.k[ref]
		if want == codec.Raw {
			wantSent = 0
		}
		wantDigests := codec.AppendSubblockDigests(nil, plain[int(id)*blockSize:][:r.cfg.Geometry.Size(id)])
		if err != nil || k != r.k[twin] || sent != wantSent || len(digests) != len(wantDigests) || digests[0] != wantDigests[0] {
			t.Errorf("block %d: %d digests of sub-blocks, K %d, %v", id, len(digests), k, err)
		}
	}
}

// TestSendRaw: before anything was sent, all blocks may become raw; what the loaders were at then is
// read again.
func TestSendRaw(t *testing.T) {
	source, plain := newStored(t)
	r := newRoom(t, source, "")
	if err := r.read(0); err != nil {
		t.Fatal(err)
	}
	small := r.k[sender.Ref{}]
	r.ReadAhead([]sender.Ref{{Block: 3}}, false)
	r.SendRaw()
	clear(r.k)
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if r.Coded() || r.k[sender.Ref{Block: 3}] != 0 {
		t.Errorf("coded %v, and a stored frame is ready", r.Coded())
	}
	if err := r.read(0); err != nil {
		t.Fatal(err)
	}
	if k := r.k[sender.Ref{}]; k <= small {
		t.Errorf("K is %d after %d", k, small)
	}
	if got := r.symbol(sender.Ref{}, 0)[codec.HeaderSize:]; !bytes.HasPrefix(plain, got) {
		t.Error("the block is not raw")
	}
}

// TestStoredFrameDamaged: a frame that the source finds damaged ends the session.
func TestStoredFrameDamaged(t *testing.T) {
	source, _ := newStored(t)
	source.damaged = true
	if err := newRoom(t, source, "").read(0); !errors.Is(err, errDamaged) {
		t.Errorf("the error is %v", err)
	}
}
