package image

import "multiserver/internal/format"

// FormatOf is the format of the bytes that s begins with.
func FormatOf(s Source) (format.Format, error) {
	head := make([]byte, min(s.Size(), format.HeadSize))
	if _, err := s.ReadAt(head, 0); err != nil {
		return format.Raw, err
	}
	return format.Of(head), nil
}
