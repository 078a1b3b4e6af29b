package sender

import "multiserver/internal/block"

// job is what is pending of one block: source symbols by number, or for the stragglers a count of
// repair symbols.
type job struct {
	index  uint32
	first  uint16 // source symbol
	count  uint16
	repair bool
}

// jobs is a queue of bounded length. A receiver that lost most of the stream names
// thousands of ranges, again and again: what is queued of a block is found at once.
type jobs struct {
	list    []job
	head    int // of list, the next
	base    int // the number of list[0], counted from the first job ever
	byBlock map[uint32][]int
}

func (j *jobs) len() int { return len(j.list) - j.head }

// add puts a job at the end, or drops it if there are too many: the receiver asks
// again.
func (j *jobs) add(n job) {
	if j.len() >= maxJobs {
		return
	}
	if j.head > 0 && len(j.list) == cap(j.list) {
		j.list = append(j.list[:0], j.list[j.head:]...)
		j.base += j.head
		j.head = 0
	}
	if j.byBlock == nil {
		j.byBlock = map[uint32][]int{}
	}
	j.byBlock[n.index] = append(j.byBlock[n.index], j.base+len(j.list))
	j.list = append(j.list, n)
}

// drop ends the first job.
func (j *jobs) drop() {
	index := j.list[j.head].index
	if rest := j.byBlock[index][1:]; len(rest) > 0 {
		j.byBlock[index] = rest
	} else {
		delete(j.byBlock, index)
	}
	if j.head++; j.head == len(j.list) {
		j.reset()
	}
}

func (j *jobs) reset() {
	j.base += len(j.list)
	j.list, j.head = j.list[:0], 0
	clear(j.byBlock)
}

// merge makes the job for repair of block i at least n, if there is one.
func (j *jobs) merge(i uint32, n uint16) bool {
	for _, number := range j.byBlock[i] {
		if q := &j.list[number-j.base]; q.repair {
			q.count = max(q.count, n)
			return true
		}
	}
	return false
}

// without cuts from the range of count symbols of block i what is queued already.
func (j *jobs) without(i uint32, first, count uint16) (uint16, uint16) {
	lo, hi := uint32(first), uint32(first)+uint32(count)
	for _, number := range j.byBlock[i] {
		q := &j.list[number-j.base]
		if q.repair {
			continue
		}
		a, b := uint32(q.first), uint32(q.first)+uint32(q.count)
		switch {
		case lo >= hi:
			return first, 0
		case a <= lo && b > lo:
			lo = min(b, hi)
		case a < hi && b >= hi:
			hi = a
		}
	}
	return uint16(lo), uint16(hi - lo)
}

// pickJob takes the next symbol of the queue.
func (e *Engine) pickJob(j *jobs) (i uint32, id block.SymbolID, ok bool) {
	if j.len() == 0 {
		return 0, 0, false
	}
	q := &j.list[j.head]
	b := &e.blocks[q.index]
	i = q.index
	if q.repair {
		id = b.nextRepair()
	} else {
		id = block.SymbolID(q.first)
		q.first++
	}
	if q.count--; q.count == 0 {
		j.drop()
	}
	return i, id, true
}
