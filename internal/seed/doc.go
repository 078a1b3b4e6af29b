// Package seed decides what of a target's old content need not be received. It holds no bytes
// of the image and reads nothing: jobs come out, and a driver that can read the target carries
// them out and hands the results in. Nothing counts that was not verified by the digests of the
// manifest; the digests of sub-blocks only say what is worth trying.
//
// The flow:
//
//  1. With the manifest, SetManifest chooses Samples blocks. If the target holds one of them,
//     or Present told so of a block that arrived, or CheckAll was called, then every block is
//     unverified: the receiver asks for it only after it was compared.
//  2. Next returns jobs that digest runs of blocks. Without a manifest their digests are kept
//     until it comes.
//  3. A block that is there is confirmed. Of one that differs the receiver asks for the
//     digests of sub-blocks; HandleSubblocks gathers them.
//  4. Next then returns a job that compares the sub-blocks. From its result comes the Seed: the
//     source symbols that the target holds, which a driver puts into the receiver's window.
//
// All calls are from one goroutine, that of the receiver's engine.
package seed
