// Package blockstore reads an image for a session over MXB 2 and keeps what is sent of it:
// encoded blocks, their symbols and sub-block digests, and the manifest. It does not decide what
// is sent, or when.
//
// One goroutine owns a Store. Run has the loaders, which read and digest in parallel.
//
// The flow of a block:
//
//  1. The owner says with ReadAhead which blocks the engines will want. A hole is a block
//     of zeros and is not read. The other blocks go to the loaders.
//  2. A loader reads the block behind room for its header, looks for zeros, and computes
//     its digest.
//  3. The block comes back through Loaded, and the owner hands it to HandleLoaded. Its digest
//     goes into the manifest or is compared with it: a block that reads differently than before
//     means that the image has changed. The block goes into the cache, and Ready or Zero report
//     that it can be sent.
//     If blocks are compressed, it goes to an encoder first, and comes back through Loaded. What
//     becomes of a block is pinned before Ready: it never changes in a session. With Hurry the
//     owner says that a stream waits: a block that is not encoded by then goes raw.
//  4. PutSymbol, SubblockDigests and Proof read from the cache. A block that has left the cache is read
//     from the image again.
//
// While there is nothing to send, ReadAhead reads the blocks that have not been read yet, to
// complete the manifest. The manifest is kept in a cache folder, never beside the image: the
// next session with the same file knows all digests before it has read it.
//
// Memory: 96 encoded blocks, or fewer where memory is little (FitMemory), and 33 bytes a block of
// the image. While blocks are compressed, two more and some megabytes for each core but one, and 4
// bytes a block of the image.
package blockstore
