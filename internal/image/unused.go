package image

import (
	"fmt"
	"io"
	"sort"
)

// Span is a range of bytes, Hi excluded.
type Span struct{ Lo, Hi uint64 }

// Unused says which bytes of an image nobody uses.
type Unused struct {
	Spans []Span // in rising order, apart from each other
	// ID tells maps apart. Two views of one image with the same ID have the same bytes.
	ID string
	// Changed returns an error if the map may not be right any more.
	Changed func() error
	// Closer is closed with the view, and is what keeps others from the image; nil: nothing does.
	Closer io.Closer
}

// WithoutUnused returns a view of src in which unused bytes are zeros, and are never read. It owns
// src: Close closes it too.
func WithoutUnused(src Source, u Unused) *UsedView { return &UsedView{Source: src, unused: u} }

// UsedView is what WithoutUnused returns. Several goroutines may use it at once.
type UsedView struct {
	Source
	unused Unused
}

// next is the first unused span that ends behind off, cut to what lies from off on; at Size and
// empty if there is none.
func (v *UsedView) next(off uint64) Span {
	spans := v.unused.Spans
	i := sort.Search(len(spans), func(i int) bool { return spans[i].Hi > off })
	if i == len(spans) {
		return Span{v.Size(), v.Size()}
	}
	return Span{max(spans[i].Lo, off), spans[i].Hi}
}

// ReadAt is io.ReaderAt's.
func (v *UsedView) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || uint64(off) >= v.Size() {
		return v.Source.ReadAt(p, off)
	}
	for n < len(p) {
		at := uint64(off) + uint64(n)
		if at >= v.Size() {
			return n, io.EOF
		}
		u := v.next(at)
		if u.Lo > at {
			part := p[n:][:min(uint64(len(p)-n), u.Lo-at)]
			m, err := v.Source.ReadAt(part, int64(at))
			n += m
			if m < len(part) {
				return n, err
			}
			continue
		}
		part := p[n:][:min(uint64(len(p)-n), u.Hi-at)]
		clear(part)
		n += len(part)
	}
	return n, nil
}

// ReadScattered is Source's.
func (v *UsedView) ReadScattered(slots [][]byte, off uint64) error {
	var want uint64
	for _, s := range slots {
		want += uint64(len(s))
	}
	if off > v.Size() || want > v.Size()-off {
		return v.Source.ReadScattered(slots, off) // which says so
	}
	rest := slots
	within := 0 // of the first of rest
	// take returns the memory of the next n bytes.
	take := func(n uint64) (taken [][]byte) {
		for n > 0 {
			m := min(n, uint64(len(rest[0])-within))
			if m > 0 {
				taken = append(taken, rest[0][within:][:m])
			}
			if within += int(m); within == len(rest[0]) {
				rest, within = rest[1:], 0
			}
			n -= m
		}
		return taken
	}
	for at, end := off, off+want; at < end; {
		u := v.next(at)
		if u.Lo > at {
			n := min(u.Lo, end) - at
			if err := v.Source.ReadScattered(take(n), at); err != nil {
				return err
			}
			at += n
			continue
		}
		n := min(u.Hi, end) - at
		for _, s := range take(n) {
			clear(s)
		}
		at += n
	}
	return nil
}

// IsHole is Source's.
func (v *UsedView) IsHole(off, length uint64) bool {
	for at, end := off, off+length; at < end; {
		u := v.next(at)
		if u.Lo > at && !v.Source.IsHole(at, min(u.Lo, end)-at) {
			return false
		}
		at = u.Hi
	}
	return off+length <= v.Size()
}

// IsUnused reports that nobody uses any of the bytes from off on.
func (v *UsedView) IsUnused(off, length uint64) bool {
	u := v.next(off)
	return u.Lo == off && u.Hi-off >= length && length > 0
}

// Identity is the source's with the map's.
func (v *UsedView) Identity() (string, error) {
	line, err := v.Source.Identity()
	return line + " without " + v.unused.ID, err
}

// CacheKey is the source's with the map's: the digests are of the bytes with zeros.
func (v *UsedView) CacheKey() string {
	if key := v.Source.CacheKey(); key != "" {
		return key + "\x00without " + v.unused.ID
	}
	return ""
}

// Changed is the source's, and the map's.
func (v *UsedView) Changed() error {
	if err := v.Source.Changed(); err != nil {
		return err
	}
	if err := v.unused.Changed(); err != nil {
		return fmt.Errorf("image %s %w: %w", v, ErrChanged, err)
	}
	return nil
}

// Close closes the source, and lets others use it.
func (v *UsedView) Close() error {
	err := v.Source.Close()
	if v.unused.Closer != nil {
		v.unused.Closer.Close()
	}
	return err
}
