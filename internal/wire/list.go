package wire

import "iter"

// List is a list of entries in the form that they have on the wire. A parsed one
// lies in the datagram. To make one, Append to the zero List.
type List[T entry[T]] struct{ b []byte }

// entry is one of a List's, of a fixed size.
type entry[T any] interface {
	size() int // on the wire, in bytes
	appendTo(dst []byte) []byte
	parse(b []byte) T
	valid() bool
	follows(previous T) bool
}

// Len is the count of entries.
func (l List[T]) Len() int {
	var e T
	return len(l.b) / e.size()
}

// At returns entry i, 0 .. Len-1.
func (l List[T]) At(i int) T {
	var e T
	n := e.size()
	return e.parse(l.b[i*n : (i+1)*n])
}

// All passes over the entries in their order.
func (l List[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range l.Len() {
			if !yield(l.At(i)) {
				return
			}
		}
	}
}

// Append returns the list with e at its end; it may use l's memory, as append does.
func (l List[T]) Append(e T) List[T] { return List[T]{e.appendTo(l.b)} }

// Reset returns an empty list that keeps l's memory, which must not be a
// datagram's.
func (l List[T]) Reset() List[T] { return List[T]{l.b[:0]} }

// appendList appends the entries of l, of which a packet holds limit at most.
func appendList[T entry[T]](dst []byte, l List[T], limit int) []byte {
	must(l.ordered() && l.Len() <= limit, "list too long, out of order or with an entry out of bounds")
	return append(dst, l.b...)
}

// parseList returns the first count entries in b, of which a packet holds limit at
// most. What follows them is of a later version.
func parseList[T entry[T]](b []byte, count uint16, limit int) (List[T], error) {
	var e T
	if int(count) > limit {
		return List[T]{}, ErrBounds
	}
	end := int(count) * e.size()
	if len(b) < end {
		return List[T]{}, ErrLength
	}
	// Cut at end, so that Append cannot write on in the datagram.
	l := List[T]{b[:end:end]}
	if !l.ordered() {
		return List[T]{}, ErrBounds
	}
	return l, nil
}

// ordered reports whether each entry is valid and follows the one before.
func (l List[T]) ordered() bool {
	var previous T
	for i := range l.Len() {
		e := l.At(i)
		if !e.valid() || i > 0 && !e.follows(previous) {
			return false
		}
		previous = e
	}
	return true
}
