package codec

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"multiserver/internal/block"
)

// vectors reads testdata/vectors.txt, which another implementation of the format's
// text and of BLAKE3 has made.
func vectors(t testing.TB) map[string][]byte {
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		if line[0] == '#' {
			continue
		}
		name, digits, _ := strings.Cut(strings.TrimSpace(line), ": ")
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = b
	}
	return all
}

// vectorSizes and vectorBlock are the image of the manifest's vector.
var vectorSizes = block.Geometry{ImageSize: 9*4096 + 100, BlockSize: 4096}

func vectorBlock(id block.ID) []byte {
	size := 4096
	if id == 9 {
		size = 100
	}
	if id == 0 || id == 8 {
		return pattern(size + int(id))[id:]
	}
	return make([]byte, size)
}

func TestVectors(t *testing.T) {
	v := vectors(t)
	b, err := NewManifestBuilder(vectorSizes)
	if err != nil {
		t.Fatal(err)
	}
	for id := range block.ID(vectorSizes.BlockCount()) {
		if err := b.Set(id, Sum(vectorBlock(id))); err != nil {
			t.Fatal(err)
		}
	}
	m := b.Manifest()
	zero, image := ZeroDigest(4096), m.ImageDigest()
	for name, got := range map[string][]byte{
		"encoded block":     Encode(nil, v["plain block"]),
		"zero block digest": zero[:],
		"manifest":          m.Bytes(),
		"image digest":      image[:],
	} {
		if !bytes.Equal(got, v[name]) {
			t.Errorf("%s:\n got %x\nwant %x", name, got, v[name])
		}
	}

	plain, _, err := new(Decoder).Decode(nil, v["encoded block"], len(v["plain block"]))
	if err != nil || !bytes.Equal(plain, v["plain block"]) {
		t.Errorf("encoded block decodes to %q, %v", plain, err)
	}
	zstd := bytes.Repeat([]byte("a root file system, mostly; "), 36)
	if plain, _, err = new(Decoder).Decode(nil, v["zstd block"], len(zstd)); err != nil || !bytes.Equal(plain, zstd) {
		t.Errorf("zstd block decodes to %q, %v", plain, err)
	}
	m, err = ParseManifest(v["manifest"], vectorSizes)
	if err != nil {
		t.Fatal(err)
	}
	for id := range block.ID(vectorSizes.BlockCount()) {
		if plain := vectorBlock(id); m.IsZeroBlock(id) != IsZero(plain) || m.Digest(id) != Sum(plain) {
			t.Errorf("block %d: zero %v, digest %v", id, m.IsZeroBlock(id), m.Digest(id))
		}
	}
}
