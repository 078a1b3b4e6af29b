package target

import (
	"multiserver/internal/block"
	"multiserver/internal/partition"
)

// table gathers the first bytes of an image, in any order, until they show the sector size of
// its partition table.
type table struct {
	head []byte
	have *block.Set // bytes of head
}

func newTable(imageSize uint64) *table {
	n := min(imageSize, partition.HeadSize)
	return &table{head: make([]byte, n), have: block.NewSet(n)}
}

// put takes the run p at byte offset off of the image. It reports whether head is complete.
func (t *table) put(p []byte, off uint64) bool {
	size := uint64(len(t.head))
	if off >= size {
		return false
	}
	n := copy(t.head[off:], p)
	t.have.Add(block.Range{Lo: off, Hi: off + uint64(n)})
	return t.have.Count() == size
}
