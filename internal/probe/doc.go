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
//  1. Poll, while receivers gather: it tells when a train is due and when the stream may
//     begin. Train makes the packets, and Taken is told at what rate the own interface took
//     them.
//  2. HandleReport, for each report of what a receiver heard; it tells whether a train is
//     asked for.
//  3. Arrived, for each of these reports: the rate that it shows, for the stream's
//     controller.
//  4. After that, while Unreached, nobody hears the group: SeekDue tells when the next train
//     is due. Reached ends it.
package probe
