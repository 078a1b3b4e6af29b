// Package transmit paces and sends what a server's sessions and its MXB 1 have composed.
// It knows nothing of what the packets mean.
//
// The flow of a batch:
//
//  1. Its owner, one goroutine for each Queue, calls Take, fills the batch, and hands it
//     over with Submit.
//  2. Run, the one goroutine that sends, takes the batches of all queues in turn. It waits
//     until the server's rate and the queue's rate allow the batch, and sends it to each of
//     its destinations.
//  3. The batch comes back through Sent, and the owner hands it to Recycle.
//
// A packet that cannot be sent is lost, as any packet may be. If no interface takes packets, Run
// pauses. A single failing interface, or a single unicast receiver, delays no other.
package transmit
