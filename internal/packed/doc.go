// Package packed is an image packed on disk, in a file that is a valid zstd file: made by Pack,
// read by Open. docs/packed.md has the format, byte for byte.
//
// The file is a sequence of frames (RFC 8878), of which a zstd program skips the ones that are
// ours:
//
//	header       ours: the image's size, its name, the level
//	data         one frame for each block that is not zeros, and one for each run of zeros
//	manifest     ours: the digests of the plain blocks, byte for byte as over MXB 2
//	index        ours: size and checksum of each stored frame; which blocks nobody uses
//	signature    ours: a slot of 4 KiB for one
//	seek table   zstd's own: where each of these begins
//
// An Image is a source to serve: it decodes what is read. Open reads all but the data, and believes no size in it before it is checked. Every
// stored frame is checked before it is used, so a damaged file is an error and never an image.
//
// Memory: the manifest, and 24 bytes for each stored frame.
package packed
