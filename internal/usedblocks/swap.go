package usedblocks

import (
	"errors"
	"fmt"
)

// Swap space of Linux: one page with the header, and pages that say nothing to the next start.
// include/linux/swap.h.

var swapPages = []int{4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10}

const swapMarkSize = 10

// swapMarks are what stands at the end of the first page: of swap, of swap before version 1, and
// of a machine that is suspended to it.
var swapMarks = map[string]bool{
	"SWAPSPACE2": true, "SWAP-SPACE": false,
	"S1SUSPEND\x00": false, "S2SUSPEND\x00": false, "ULSUSPEND\x00": false, "LINHIB0001": false,
}

// swapPage is the size of the page that a swap space begins with, and its mark; 0 if it is none.
func swapPage(head []byte) (page int, mark string) {
	for _, page := range swapPages {
		if page <= len(head) {
			mark := string(head[page-swapMarkSize : page])
			if _, is := swapMarks[mark]; is {
				return page, mark
			}
		}
	}
	return 0, ""
}

func isSwap(head []byte) bool {
	page, _ := swapPage(head)
	return page != 0
}

func readSwap(v *volume, _ *Part) error {
	head, err := v.bytes(0, min(headSize, v.size))
	if err != nil {
		return err
	}
	page, mark := swapPage(head)
	if page == 0 {
		return ErrUnknown
	}
	v.watch(0, head[:page])
	if !swapMarks[mark] {
		return fmt.Errorf("a machine is suspended to it, or it is of an old kind: %q", mark)
	}
	// Version, and the number of the last page.
	end := (uint64(le32(head, 1028)) + 1) * uint64(page)
	if le32(head, 1024) != 1 || end < uint64(page) || end > v.size {
		return errors.New("its header contradicts itself")
	}
	return v.free(uint64(page), end)
}
