// Package transmit paces and sends what a server's sessions and its MXB 1 have composed.
// It knows nothing of what the packets mean.
//
// The flow of a batch:
//
//  1. Its owner, one goroutine for each Queue, calls Take, fills the batch, and hands it
//     over with Submit.
//  2. Run, the one goroutine that sends, takes the batches of all queues by turns, by bytes
//     and by each queue's Place, as soon as the pace of the server and that of the queue
//     allow the batch, and sends it each way that it has to go.
//  3. The batch comes back through Sent, with when it was taken, and the owner hands it to
//     Recycle.
//
// A packet that cannot be sent is lost, as any packet may be. If no interface takes packets, Run
// pauses. A single failing interface, or a single unicast receiver, delays no other.
package transmit
