// Package seed decides which blocks a target's old content already has, so that they need not
// be received. It holds no bytes of the image and reads nothing: it hands out jobs, and a driver
// that can read the target hands in the results. Only the digests of the manifest verify a
// block; the digests of sub-blocks only say what is worth trying.
//
// The flow:
//
//  1. With the manifest, SetManifest chooses Samples blocks. Every block becomes unverified if
//     the target holds one of them, if Present reports a block that the target held, or if
//     CheckAll is called. The receiver requests an unverified block only after a comparison.
//  2. Next returns jobs that digest runs of blocks. Without a manifest their digests are kept
//     until it comes.
//  3. A block that matches is confirmed. For one that differs, the receiver requests the
//     digests of its sub-blocks; HandleSubblocks gathers them.
//  4. Next then returns a job that compares the sub-blocks. Its result becomes a Seed: the
//     source symbols that the target holds. A driver puts them into the receiver's window.
//
// The goroutine that owns the receiver's engine makes all calls.
package seed
