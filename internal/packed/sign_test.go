package packed

import (
	"bytes"
	"testing"

	"multiserver/internal/codec"
	"multiserver/internal/image"
)

// TestSign: the slot holds what was written last, and nothing else of the file changes.
func TestSign(t *testing.T) {
	path := pack(t, content(3*mib+17), Options{Level: codec.Fastest})
	before := readFile(t, path)
	for _, s := range []Signature{{SignedStatement, bytes.Repeat([]byte("s"), maxSignature)}, {SignedStatement, []byte("shorter")}, {}} {
		if err := Sign(path, s); err != nil {
			t.Fatal(err)
		}
		if got := openImage(t, path).Info().Signature; got.Kind != s.Kind || !bytes.Equal(got.Bytes, s.Bytes) {
			t.Errorf("kind %d, %d bytes, after kind %d, %d bytes", got.Kind, len(got.Bytes), s.Kind, len(s.Bytes))
		}
	}
	if !bytes.Equal(readFile(t, path), before) {
		t.Error("without a signature the file is not what it was")
	}
}

// TestManifestOf: an image has one manifest, packed or not.
func TestManifestOf(t *testing.T) {
	for _, size := range sizes {
		b := content(size)
		src, err := image.FromReader(bytes.NewReader(b), uint64(size), "x.img")
		if err != nil {
			t.Fatal(err)
		}
		plain, err := ManifestOf(t.Context(), src, new(Progress))
		if err != nil {
			t.Fatal(err)
		}
		stored, err := ManifestOf(t.Context(), openImage(t, pack(t, b, Options{Level: codec.Fastest})), new(Progress))
		if err != nil || !bytes.Equal(stored.Bytes(), plain.Bytes()) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
