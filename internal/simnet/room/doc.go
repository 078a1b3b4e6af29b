// Package room puts the project's engines into a simulated network: one sender, any number of
// receivers that join, lose, stall, lie, die and come back, paths that forget the group or drop
// full packets, and peers that replay and forge. What the drivers do around the engines is
// modelled here; what is decided is the engines' own code:
//
//   - server.go: sender's engines, multicast and unicast; startgate and probe hold the stream;
//     routes says where it goes and whose turn it is; roster keeps the table of receivers.
//   - node.go: a receiver, its link and its disk; receiver's engine. way.go: reach and probe,
//     what it does about a stream that stays away. content.go: seed, what its target holds.
//   - ether.go: the sender's wire, and packets on their way. Feedback goes as bytes, through
//     package wire.
//
// What is said is held against what is so: window.go keeps each receiver's symbols apart from
// its engine, and end.go holds the sender's verdict against what became of each receiver.
// hostile.go has the peers that try to change that.
package room
