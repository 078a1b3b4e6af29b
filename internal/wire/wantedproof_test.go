package wire

import (
	"testing"

	"multiserver/internal/block"
)

func TestWantedProof(t *testing.T) {
	w := WantedProof{
		Session: 0x0123456789abcdef, Receiver: 0xfedcba9876543210, Private: 0x99aabbccddeeff00, Object: Manifest, Block: 3,
	}
	checkVector(t, "wanted proof", w, ParseWantedProof)
	checkCommon(t, "wanted proof", ParseWantedProof)
	checkRefused(t, "wanted proof", ParseWantedProof, []refused{
		{"block over the limit", set32(32, block.MaxBlockCount), ErrBounds},
		{"of a twin", set32(32, blockRef(Twin, 3)), ErrBounds},
	})
}

func FuzzWantedProof(f *testing.F) { fuzz(f, ParseWantedProof) }
