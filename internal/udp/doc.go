// Package udp holds the multicast sockets: the control socket that requests and
// answers pass through and that is the source of the stream (Conn), batches of
// equal segments sent from it (Sender), the socket that receives a group
// (Receiver), the interfaces of the host, and a pacer for what the interface's
// queue does not pace.
//
// It knows nothing of the packets' meaning. Words: a packet is what the project
// sends, a datagram is what UDP carries, a segment is one datagram's worth of a
// buffer that the kernel cuts (UDP GSO) or joins (UDP GRO), and a batch is what
// one system call moves.
//
// Order of use, at the server: Interfaces or InterfaceByName, Listen,
// Conn.ReadFrom until a client asks, Conn.NewSender on the interface that its
// request came in on, Sender.Send. At the client: Interfaces, Listen, ListenGroup on all of
// them, Conn.WriteTo by each, and when one is answered, Receiver.Leave the others.
//
// A socket speaks IPv4 or IPv6: a Conn what its address and its group are of, a
// Receiver what its group is of. Link-local addresses of IPv6 have their zone, the
// name of the interface (RFC 4007 §11). The fast ways and IPv6 are Linux's; elsewhere
// the same types read and write datagram by datagram.
//
// What cannot be had (GSO, GRO, sendmmsg, recvmmsg, a large receive buffer, a
// join on one of several interfaces) is replaced by the next best and told once,
// by Sender.Fallback, Conn.Warnings and Receiver.Warnings.
package udp
