// Package routes decides where a session's packets go. Like the engines it has no clock,
// socket or goroutine: the time is an argument, and its driver opens the ways out.
//
//   - Networks: which networks the multicast stream goes out on. A network is served as
//     long as receivers are heard on it.
//   - Unicast: which receivers get the same symbols by unicast, because they hear nothing
//     of the group. A token proves that a receiver hears what is sent to its address.
package routes
