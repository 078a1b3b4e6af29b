package multiserver

import (
	"errors"
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/wire"
)

// TestForgedZeros: a run of zeros is held against the manifest, at once or when that
// comes.
func TestForgedZeros(t *testing.T) {
	sizes := codec.Sizes{ImageSize: 3 * 4096, BlockSize: 4096}
	b, err := codec.NewManifestBuilder(sizes)
	if err != nil {
		t.Fatal(err)
	}
	for id := range uint32(3) {
		if id == 1 {
			err = b.SetZero(id)
		} else {
			err = b.Set(id, codec.Sum([]byte{byte(id)}))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	m := b.Manifest()
	for _, c := range []struct {
		first, count uint32
		want         bool
	}{{1, 1, true}, {0, 1, false}, {1, 2, false}, {0, 3, false}} {
		s := &symbolClient{
			manifestBytes: m.Bytes(), digests: make([]codec.Digest, 3), known: block.NewSet(3), zeroed: block.NewSet(3),
		}
		s.session.Geometry = block.Geometry(sizes)
		s.session.Completion = wire.Completion{ManifestSize: uint64(len(m.Bytes())), ImageDigest: m.ImageDigest()}
		s.zeroed.Add(block.Range{Lo: uint64(c.first), Hi: uint64(c.first + c.count)})
		if err := s.checkManifest(); (err == nil) != c.want || err != nil && !errors.Is(err, ErrIntegrity) {
			t.Errorf("blocks %d to %d were zeros, then the manifest came: %v", c.first, c.first+c.count-1, err)
		}
		s.manifest = m
		if got := s.areZeros(wire.ZeroRun{First: block.ID(c.first), Count: c.count}); got != c.want {
			t.Errorf("blocks %d to %d are zeros: %v", c.first, c.first+c.count-1, got)
		}
	}
}
