package simnet

import "time"

// Queue holds what happens at a time, first things first; of two at the same time,
// the one that was put in first. The zero Queue is empty.
type Queue[T any] struct {
	heap []item[T]
	seq  uint64
}

type item[T any] struct {
	at    time.Duration
	seq   uint64
	value T
}

func (a *item[T]) before(b *item[T]) bool {
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

// Len is the count of things in the queue.
func (q *Queue[T]) Len() int { return len(q.heap) }

// At is when the first thing happens; Never if there is none.
func (q *Queue[T]) At() time.Duration {
	if len(q.heap) == 0 {
		return Never
	}
	return q.heap[0].at
}

// Never is later than everything.
const Never = time.Duration(1<<63 - 1)

// Push puts value in.
func (q *Queue[T]) Push(at time.Duration, value T) {
	q.seq++
	q.heap = append(q.heap, item[T]{at, q.seq, value})
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q.heap[i].before(&q.heap[up]) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

// Pop takes the first thing out of a queue that is not empty.
func (q *Queue[T]) Pop() (time.Duration, T) {
	first := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = item[T]{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && q.heap[down+1].before(&q.heap[down]) {
			down++
		}
		if !q.heap[down].before(&q.heap[i]) {
			break
		}
		q.heap[i], q.heap[down] = q.heap[down], q.heap[i]
		i = down
	}
	return first.at, first.value
}
