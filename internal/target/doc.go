// Package target is where a client puts the image: a regular file, a block device
// or a stream. It keeps the wrong disk from being erased, keeps holes holes in new
// files and makes zeros the fastest way elsewhere, and bounds what is in the page
// cache. It leaves to its caller to verify what is written, and to join small writes
// into runs of about a MiB.
//
// Call Open (or NewStream), then Prepare once with the size of the image, WriteAt
// for each run, Sync, and Close. Open and Prepare make every check, and Fits those of
// Prepare without the changes; until Prepare has passed all of them, not one byte of
// an existing target changes, its length included. One check can come later: for which
// sectors the partition table is written that the image begins with, where nobody told.
// None of the types is safe for concurrent use, but File.ReadAt and File.DropCache may be
// called concurrently with everything else, and Back.ReadAt by several goroutines.
//
// What a File held before is read by ReadAt, after FlushCache. After Sync, ReadBack reads
// what the device holds, past the page cache, and Reread has the kernel read the
// partition table.
//
// PickDisk finds the disk that a Selection means.
//
// A target that Open made and that Prepare never got ready is removed by Close. A
// partial image is left in place.
package target

// Target takes one image.
type Target interface {
	// Prepare gets the target ready for an image of size bytes, whose partition table
	// is written for disks with sectors of that many bytes: 512 or 4096; 0 if it has
	// none, or nobody knows. It may take as long as writing size bytes does. It is
	// called once.
	Prepare(size uint64, sector uint32) error
	// WriteAt writes all of p, which it does not keep, at byte offset off of the image.
	WriteAt(p []byte, off uint64) error
	// WriteZeros makes n bytes from byte offset off on zeros.
	WriteZeros(off, n uint64) error
	// Sync returns after everything written has reached the device.
	Sync() error
	Close() error
	// Name is what the target is called in messages.
	Name() string
}
