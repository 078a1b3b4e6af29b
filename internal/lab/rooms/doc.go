// Package rooms tests the programs on real networks: a server and rooms full of
// clients, each a host of the lab, with loss, dead machines, firewalls, strangers
// and the programs of 2012 among them. It has tests only. Whatever a client
// claims to have received is compared with the image, byte for byte, every time.
package rooms
