package usedblocks

import (
	"errors"
	"fmt"

	"multiserver/internal/image"
	"multiserver/internal/target"
)

// Skip reads the map of the image that was opened at path, and returns a view of src without what
// nobody uses, or src itself if that is nothing. The map says what was found, and is never nil.
// The view owns src. While a device is served so, nobody can mount it.
func Skip(src image.Source, path string) (image.Source, *Map) {
	whole := func(err error) (image.Source, *Map) { return src, &Map{Size: src.Size(), Whole: err} }
	claim, inUse, err := target.Claim(path)
	if err != nil {
		return whole(fmt.Errorf("nobody can tell whether it is in use: %w", err))
	}
	if inUse != "" {
		return whole(errors.New(inUse))
	}
	m := Read(src, src.Size())
	// It may have been written to between two reads.
	if err = src.Changed(); err == nil {
		err = m.Changed(src)
	}
	if err != nil || len(m.Unused) == 0 {
		if claim != nil {
			claim.Close()
		}
		if err != nil {
			return whole(err)
		}
		return src, m
	}
	spans := make([]image.Span, len(m.Unused))
	for i, s := range m.Unused {
		spans[i] = image.Span(s)
	}
	return image.WithoutUnused(src, image.Unused{
		Spans: spans, ID: m.ID(), Closer: claim, Changed: func() error { return m.Changed(src) },
	}), m
}
