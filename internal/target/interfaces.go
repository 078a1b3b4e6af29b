package target

import "multiserver/internal/format"

// These interfaces are what a target may be able to do beyond Target. Callers ask for an
// interface, never for a type.

// ContentReader is a target whose earlier content can be read.
type ContentReader interface {
	// HoldsContent reports whether it held something that can be read.
	HoldsContent() bool
	// FlushCache makes ReadAt return what the device holds. It is called before the first
	// ReadAt. It may take long, if much is dirty.
	FlushCache() error
	// ReadAt fills p with what the target holds from byte offset off on, written or held
	// before. It may be called concurrently with all other methods.
	ReadAt(p []byte, off uint64) error
	// DropCache says that the n bytes from off on, which ReadAt has read, are not needed again.
	DropCache(off, n uint64)
}

// Verifiable is a target that can be read back after Sync.
type Verifiable interface {
	// Readable reports whether it can, before anything is written.
	Readable() bool
	ReadBack() (*Back, error)
}

// Sequential is a target that may take the image in order only.
type Sequential interface {
	InOrder() bool
}

// Checked is a target whose checks of Prepare can be made alone.
type Checked interface {
	Fits(size uint64, sector uint32) error
}

// FormatChecked is a target that may be no place for an image that is no disk as it is.
type FormatChecked interface {
	FitsFormat(format.Format) error
}

// Roomy is a target that may run out of room.
type Roomy interface {
	// Lacks fails if the image does not fit: dataBytes of it are no zeros, and restBytes of
	// these are still to come. It may be called concurrently with all other methods.
	Lacks(dataBytes, restBytes uint64) error
}

// Cuttable is a target that may be smaller than the image.
type Cuttable interface {
	// SetLeastDisk says how many bytes a disk must have that holds all partitions of the image,
	// 0 if that is not known. It is called before Fits and Prepare.
	SetLeastDisk(size uint64)
	// CutBytes is how much of the image's end it has no place for, after Prepare.
	CutBytes() uint64
}

// Larger is a target that may be of another size than the image.
type Larger interface {
	FinishRest() (RestReport, error)
}

// Partitioned is a target in which the system looks for partitions.
type Partitioned interface {
	Reread() error
}

// FitsFormat makes the check of a FormatChecked, if t is one.
func FitsFormat(t Target, of format.Format) error {
	if checked, ok := t.(FormatChecked); ok {
		return checked.FitsFormat(of)
	}
	return nil
}

// SetLeastDisk tells t, if it is Cuttable.
func SetLeastDisk(t Target, size uint64) {
	if cuttable, ok := t.(Cuttable); ok {
		cuttable.SetLeastDisk(size)
	}
}

// CutBytes is how much of the image's end t has no place for, after Prepare.
func CutBytes(t Target) uint64 {
	if cuttable, ok := t.(Cuttable); ok {
		return cuttable.CutBytes()
	}
	return 0
}

// Content returns t's earlier content; nil if it has none that can be read.
func Content(t Target) ContentReader {
	if held, ok := t.(ContentReader); ok && held.HoldsContent() {
		return held
	}
	return nil
}

// InOrder reports whether t takes the image in order only.
func InOrder(t Target) bool {
	s, ok := t.(Sequential)
	return ok && s.InOrder()
}
