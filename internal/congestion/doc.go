// Package congestion decides how fast one stream of MXB 2 is sent: one to many, with
// repair symbols in place of retransmissions, over paths that nobody described. It holds
// no socket and no clock: what was sent, what receivers report and the time go in; a rate,
// a burst, a reason and the receivers that shall report in time come out.
//
// A driver makes one Engine for each stream (the group's, and each unicast destination's)
// and calls, from one goroutine:
//
//   - Join when a receiver takes the stream, and Leave when it is done or gone;
//   - Probed for each receiver's report of a probe train, before the stream or in it;
//   - Sent after each batch that the socket took, with the highest sequence number in it,
//     and for what else the stream's wire carried;
//   - HandleReport for each report, also of receivers that are not in the sample, and
//     Needed for each other packet in which a receiver asks for something;
//   - Poll every 10 ms, and after HandleReport; its Decision holds until the next one.
//     A driver sends no more than Decision.Allowed bits before it calls Poll again, in
//     bursts of Decision.Burst packets at Decision.Rate. A Rate of 0 means: send nothing
//     but heartbeats and probes;
//   - Sample for the receivers that the next heartbeat names.
//
// The rate is that which three quarters of the receivers can take (RFC 4654 follows the
// worst one: repair symbols serve the few that lose more). It is anchored at what they
// deliver, as in BBR (draft-ietf-ccwg-bbr), and yields to a queue that stands, as LEDBAT
// does (RFC 6817). Loss slows the stream down until it is proven not to depend on the
// rate. Whatever else it decides, the budget holds. The constants and their reasons are in
// limits.go.
package congestion
