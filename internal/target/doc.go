// Package target writes a client's image: to a regular file, a block device or a stream. It
// protects the wrong disk from being erased. In new files it leaves holes; elsewhere it writes
// zeros in the fastest way. It bounds the dirty part of the page cache. The caller verifies the
// data, and joins small writes into runs of about a MiB.
//
// Call Open (or NewStream), then Prepare once with the size of the image, WriteAt
// for each run, Sync, and Close. Open and Prepare make every check; Fits makes Prepare's checks
// without its changes. Until Prepare has passed all of them, not one byte of an existing target
// changes, nor its length. One check can come later: if Prepare is not told the sector size of
// the image's partition table, WriteAt finds it in the data.
// No type is safe for concurrent use, except that File.ReadAt and File.DropCache may be
// called concurrently with everything else, and Back.ReadAt by several goroutines.
//
// ReadAt, after FlushCache, reads a File's old content. After Sync, ReadBack reads what the
// device holds, past the page cache, and Reread has the kernel read the partition table.
//
// PickDisk finds the disk that a Selection means.
//
// Close removes a file that Open made, if Prepare has not succeeded. A partial image is left in
// place.
package target

// Target takes one image.
type Target interface {
	// Prepare gets the target ready for an image of size bytes. sector is the sector size
	// that the image's partition table is written for: 512 or 4096 bytes; 0 if it has none,
	// or if that is unknown. It may take as long as writing size bytes does. It is called
	// once.
	Prepare(size uint64, sector uint32) error
	// WriteAt writes all of p, which it does not keep, at byte offset off of the image.
	WriteAt(p []byte, off uint64) error
	// WriteZeros makes n bytes from byte offset off on zeros.
	WriteZeros(off, n uint64) error
	// Sync returns after everything written has reached the device.
	Sync() error
	Close() error
	// Name is the name of the target in messages.
	Name() string
}
