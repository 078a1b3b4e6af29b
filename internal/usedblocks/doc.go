// Package usedblocks finds out which bytes of a disk image no file system uses: the partitions by
// the image's table, and in each the blocks that its file system says are free. docs/unused.md
// says what each reader trusts.
//
// Every byte counts as used unless a file system that this package knows says otherwise. A reader
// that doubts anything frees nothing of its partition, and its error says why: a journal that is
// not replayed, a feature it does not know, a checksum or count that is wrong.
//
// Skip does it all for an image that is to be served: it makes sure that nobody else uses the
// image, reads the map, and returns a view where the unused bytes are zeros. Read is the part that
// only reads.
//
// Images may be hostile. Readers check every number before they use it. Memory is bounded by
// maxSpans, and each reader says by what its time is.
package usedblocks
