package writer

import (
	"cmp"
	"slices"
	"sync"

	"multiserver/internal/codec"
)

// writtenRun is one write.
type writtenRun struct {
	off    uint64
	n      uint32
	digest codec.Digest
}

// digests keeps the digests of what was written, for protocols without digests.
type digests struct {
	runs []writtenRun
	sort sync.Once // by offset, before the first match
}

func (d *digests) add(off uint64, p []byte) {
	d.runs = append(d.runs, writtenRun{off, uint32(len(p)), codec.Sum(p)})
}

// match reports whether exactly p, read at off, was written there.
func (d *digests) match(off uint64, p []byte) bool {
	d.sort.Do(func() {
		slices.SortFunc(d.runs, func(a, b writtenRun) int { return cmp.Compare(a.off, b.off) })
	})
	end := off + uint64(len(p))
	i, _ := slices.BinarySearchFunc(d.runs, off, func(w writtenRun, off uint64) int { return cmp.Compare(w.off, off) })
	for at := off; at < end; i++ {
		if i == len(d.runs) || d.runs[i].off != at || at+uint64(d.runs[i].n) > end {
			return false
		}
		w := d.runs[i]
		if codec.Sum(p[at-off:][:w.n]) != w.digest {
			return false
		}
		at += uint64(w.n)
	}
	return true
}
