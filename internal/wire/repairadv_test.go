package wire

import (
	"testing"

	"multiserver/internal/block"
)

func testSymbolCounts() List[SymbolCount] {
	var l List[SymbolCount]
	return l.Append(SymbolCount{Block: 17, Symbols: 9}).
		Append(SymbolCount{Block: 3, Symbols: 2}).
		Append(SymbolCount{Object: Manifest, Block: 0, Symbols: 1})
}

func TestRepairAdv(t *testing.T) {
	checkVector(t, "repair advertisement", RepairAdv{Session: 0x0123456789abcdef, Sequence: 100000, Pending: testSymbolCounts()}, ParseRepairAdv)
	checkCommon(t, "repair advertisement", ParseRepairAdv)
	checkRefused(t, "repair advertisement", ParseRepairAdv, []refused{
		{"sequence", set64(16, uint64(MaxSequence)+1), ErrBounds},
		{"more entries than bytes", set16(2, 4), ErrLength},
		{"block over the limit", set32(repairAdvSize, 2*block.MaxBlockCount), ErrBounds},
		{"no symbols", set16(repairAdvSize+4, 0), ErrBounds},
	})
	o, err := ParseRepairAdv(vectors["repair advertisement"])
	if err != nil || o.Pending.Len() != 3 || o.Pending.At(1) != (SymbolCount{Block: 3, Symbols: 2}) || o.Pending.At(2).Object != Manifest {
		t.Errorf("%+v, %v", o, err)
	}
	var blocks []block.ID
	for n := range o.Pending.All() {
		if blocks = append(blocks, n.Block); len(blocks) == 2 {
			break
		}
	}
	if len(blocks) != 2 || blocks[0] != 17 || blocks[1] != 3 {
		t.Errorf("passed over blocks %v", blocks)
	}
}

func FuzzRepairAdv(f *testing.F) { fuzz(f, ParseRepairAdv) }
