// Package fetch receives one image over MXB 2 and writes it to a prepared target. Package
// discover finds the server; the caller chooses and checks the target. The engines receiver,
// seed, reach and probe decide what to keep, request, trust and join. This package moves the
// bytes.
//
// The flow of a block:
//
//  1. streams waits for packets of the group or by unicast, one system call at a time.
//  2. blocks asks the receiver's engine about each symbol, and slots puts its bytes into the
//     memory of its block.
//  3. When K symbols are in, slots rebuilds the block on a goroutine of its own, decodes it and
//     checks its digest.
//  4. blocks compares the digest with the manifest (proof), at once or when the manifest comes.
//     A block that is wrong asks the server for its proof; groups keeps the symbols that are right.
//  5. writer writes it, on a goroutine of its own, and the slot is free.
//
// Receiving begins at the first answer. startLine keeps everything from the target until other
// servers had their time to answer too and Config.Confirm agrees, and then prepares it. When hardly
// a slot is free, intake lets packets wait in the socket's buffer for a while, and results are
// taken first.
//
// Beside that, oldContent reads what the target held before, on two goroutines, as seed's engine
// says. What the other goroutines have to tell comes back as events. Run starts all of them
// and returns after they have ended.
package fetch
