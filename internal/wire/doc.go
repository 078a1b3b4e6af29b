// Package wire turns MXB 2's packets into bytes and back. It decides nothing,
// sends nothing and knows no session: whether a block exists, a token is right or a
// number is news is for the engines and the drivers to say.
//
// Each packet is a struct with AppendTo, which appends the packet to dst, and a
// Parse function, which takes one whole datagram. A parser allocates nothing and
// keeps nothing, but the byte slices and Lists of what it returns lie in the
// datagram: copy what has to outlive it. Parse functions check everything that one
// packet by itself can show: magic, version, type, checksum, that lengths fit the
// datagram and the limits in limits.go. AppendTo panics on a value that no parser
// would take; that is a fault of our own.
//
// Peek tells the type, then the parser of that type is called. ParseSymbol is the
// exception: it fills a struct of the caller's, and leaves the checksum to Intact,
// so that duplicates and strangers cost none.
//
// Who sends what to whom:
//
//	receiver → control port of GROUP, of a broadcast or of HOST   Offer, behind MXB 1's map request
//	sender   → where the offer came from                          Description
//	sender   → the data group                                     Description as an announcement, Probe
//	sender   → the data group, and receivers served by unicast    Symbol, ZeroRun, Heartbeat, GoodbyeAck,
//	                                                              RepairAdv, SubblockDigests
//	receiver → where the description came from                    Report, Wanted, WantedSymbols,
//	                                                              WantedSubblocks, ProbeReport, Goodbye,
//	                                                              UnicastRequest
//
// The sender sends all of it from its control port, and a receiver all of its own
// from the port that its offer came from. So a firewall which follows connections lets
// the unicast stream pass, and the answer to an Offer that went to the server's own
// address; it does not match the answer to one that went by multicast or broadcast.
package wire
