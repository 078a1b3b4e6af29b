package wire_test

import (
	"strings"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/fec"
	"multiserver/internal/wire"
)

// TestLimitsAgree: these packages do not import each other, so a limit that they share
// stands in each of them.
func TestLimitsAgree(t *testing.T) {
	for _, test := range []struct {
		of        string
		got, want int
	}{
		{"K in fec and block", fec.MaxSourceSymbols, block.MaxK},
		{"digests in wire and codec", len(wire.Completion{}.ImageDigest), codec.DigestSize},
		{"greatest packet, and UDP's over IPv4", wire.MaxPacketSize, 65535 - 20 - 8},
		{"symbol's header, and as block counts it", wire.SymbolHeaderSize, 28},
		{"symbol id, and the 24 bits of a packet", int(block.MaxSymbolID), 1<<24 - 1},
	} {
		if test.got != test.want {
			t.Errorf("%s: %d and %d", test.of, test.got, test.want)
		}
	}
	if codec.HeaderSize > block.MaxOverhead {
		t.Errorf("an encoded block is %d bytes longer, block counts on %d", codec.HeaderSize, block.MaxOverhead)
	}
	if block.MaxSymbolID < 16<<20-1 {
		t.Error("a block of the greatest K has fewer rows than the packet's 24 bits leave")
	}
	for _, c := range []codec.Codec{codec.Raw, 1, 2, 3} {
		if wire.Codecs(1)<<c == 0 {
			t.Errorf("%v has no bit in the set of an offer", c)
		}
	}
}

// TestManifestWithinLimits: whatever the image, its manifest is within what packets
// can tell, and an object that can be cut into blocks and symbols.
func TestManifestWithinLimits(t *testing.T) {
	for _, g := range []block.Geometry{
		{ImageSize: 1, BlockSize: block.MinBlockSize},
		{ImageSize: 1, BlockSize: block.MaxBlockSize},
		{ImageSize: block.MinBlockSize + 1, BlockSize: block.MinBlockSize},
		{ImageSize: 4 << 30, BlockSize: block.DefaultBlockSize},
		{ImageSize: block.MaxBlockCount * block.MinBlockSize, BlockSize: block.MinBlockSize},
		{ImageSize: block.MaxImageSize, BlockSize: block.MaxBlockSize},
	} {
		if err := g.Validate(); err != nil {
			t.Errorf("%+v: %v", g, err)
		}
		if _, err := codec.ParseManifest(nil, g); !strings.Contains(err.Error(), "magic") {
			t.Errorf("%+v: codec refuses the sizes: %v", g, err)
		}
		manifest := block.Geometry{ImageSize: codec.MaxManifestSize(g), BlockSize: g.BlockSize}
		if err := manifest.Validate(); err != nil {
			t.Errorf("%+v: manifest: %v", g, err)
		}
		// MaxManifestPerBlock, as the parser of a description has it.
		d := wire.Description{
			Geometry:       g,
			SymbolSize:     1444,
			Completion:     wire.Completion{ManifestSize: codec.MaxManifestSize(g)},
			ReportInterval: time.Second,
		}
		if _, err := wire.ParseDescription(d.AppendTo(nil)); err != nil {
			t.Errorf("%+v: description: %v", g, err)
		}
	}
}
