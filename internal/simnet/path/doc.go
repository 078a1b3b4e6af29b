// Package path puts the engines of package sender, receiver and congestion into a
// simulated network with bottlenecks: queues that are short or hold seconds, rates that
// change, machines that run a part of the time, disks, neighbours, and reports that are
// lost, late or false. It finds the rate that would have been best, and what the
// controller made of it. Everything comes from a seed, and time is virtual.
//
// Receivers of a group are behind the same queue. Where each is behind a port of its own
// and all ports are alike, that is the same: each port gets the same packets.
package path
