// Package fetch receives one image over MXB 2 and puts it on a target that is prepared. It
// leaves to others to find the server (discover) and to choose and check the target. What to
// keep, ask for, trust and join is decided by the engines receiver, seed, reach and probe;
// this package moves the bytes.
//
// The flow of a block:
//
//  1. streams waits for packets, of the group or by unicast: a system call's worth at a time.
//  2. blocks asks the receiver's engine about each symbol, and slots puts its bytes into the
//     memory of its block.
//  3. When K symbols are in, slots rebuilds the block on a goroutine of its own, decodes it and
//     checks its digest.
//  4. blocks holds the digest against the manifest (proof), at once or when that comes.
//  5. writer writes it, on a goroutine of its own, and the slot is free.
//
// Receiving begins at the first answer. startLine keeps everything from the target until other
// servers had their time to answer too, and then prepares it. When hardly a slot is free, intake
// lets packets wait in the socket's buffer for a while, and results are taken first.
//
// Beside that, oldContent reads what the target held before, on two goroutines, as seed's engine
// says. What the other goroutines have to tell comes back as events. Run starts all of them
// and returns after they have ended.
package fetch
