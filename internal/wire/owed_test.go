package wire

import (
	"testing"

	"multiserver/internal/block"
)

func testNeeds() List[Need] {
	var l List[Need]
	return l.Append(Need{Block: 17, Symbols: 9}).
		Append(Need{Block: 3, Symbols: 2}).
		Append(Need{Object: Manifest, Block: 0, Symbols: 1})
}

func TestOwed(t *testing.T) {
	checkVector(t, "owed", Owed{Session: 0x0123456789abcdef, Sequence: 100000, Needs: testNeeds()}, ParseOwed)
	checkCommon(t, "owed", ParseOwed)
	checkRefused(t, "owed", ParseOwed, []refused{
		{"sequence", set64(16, uint64(MaxSequence)+1), ErrBounds},
		{"more entries than bytes", set16(2, 4), ErrLength},
		{"block over the limit", set32(owedSize, block.MaxBlockCount), ErrBounds},
		{"no symbols", set16(owedSize+4, 0), ErrBounds},
	})
	o, err := ParseOwed(vectors["owed"])
	if err != nil || o.Needs.Len() != 3 || o.Needs.At(1) != (Need{Block: 3, Symbols: 2}) || o.Needs.At(2).Object != Manifest {
		t.Errorf("%+v, %v", o, err)
	}
	var blocks []block.ID
	for n := range o.Needs.All() {
		if blocks = append(blocks, n.Block); len(blocks) == 2 {
			break
		}
	}
	if len(blocks) != 2 || blocks[0] != 17 || blocks[1] != 3 {
		t.Errorf("passed over blocks %v", blocks)
	}
}

func FuzzOwed(f *testing.F) { fuzz(f, ParseOwed) }
