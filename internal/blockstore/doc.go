// Package blockstore reads an image for a session over MXB 2 and keeps what is sent of it:
// encoded blocks, their symbols and sub-block digests, and the manifest. What is sent, and
// when, others decide.
//
// One goroutine owns a Store; Run has the loaders, which read and digest beside it.
//
// The flow of a block:
//
//  1. The owner says with ReadAhead which blocks the engines will want. A hole is a block
//     of zeros and is not read. The other blocks go to the loaders.
//  2. A loader reads the block behind room for its header, looks for zeros, and computes
//     its digest.
//  3. What comes back through Loaded the owner hands to HandleLoaded. The digest goes into
//     the manifest or is compared with it: a block that reads differently than before is
//     another image. The block goes into the cache, and Ready or Zero tell that it can be
//     sent.
//  4. PutSymbol and SubblockDigests cut from the cache what is sent; what has left it is
//     read again.
//
// While there is nothing to send, ReadAhead reads what no one has read yet, so that the
// manifest is complete. The manifest is kept in a cache folder, never beside the image: the
// next session with the same file knows all digests before it has read it.
//
// Memory: 96 encoded blocks, and 33 bytes a block of the image.
package blockstore
