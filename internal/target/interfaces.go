package target

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

// Partitioned is a target in which the system looks for partitions.
type Partitioned interface {
	Reread() error
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
