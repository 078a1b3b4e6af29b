// Package probe decides about the trains of probes that go to the data group before the
// stream. They give switches the time to let the group through. They show which receivers the
// group reaches, whether packets of the session's size arrive, and a first rate. Like the
// engines it has no clock, socket or goroutine: the time is an argument.
//
// Shape says what a train is made of. Both the sender of a train and the receiver that counts
// its packets use it: these numbers stand nowhere else.
//
// At the server (Sender):
//
//  1. Poll, while receivers gather: it returns when a train is due and when the stream may
//     begin. Train and AppendTo make the packets.
//  2. HandleReport, for each receiver's report of a train; it returns true if the receiver asks
//     for another train.
//  3. InitialRate, once Poll has said that the stream may begin.
//  4. After that, while Unreached, the group reaches no receiver: SeekDue reports when the next
//     train is due. Reached ends it.
package probe
