package wire

import "net/netip"

// DataGroup is the group for the stream of an image, in the family and, over IPv6, the
// scope of the control group. It depends on the image's identity only: switches filter
// one image's stream from another's, and after a restart of the server nobody needs to
// join anew.
func DataGroup(control netip.Addr, id Identity) netip.Addr {
	if !control.Is6() {
		// 239.192.0.0/14 is for organizations' own use (RFC 2365 §6.2). The third byte
		// keeps clear of the addresses that share a MAC address with 224.0.0.x.
		return netip.AddrFrom4([4]byte{239, 192 | id[0]&3, id[1]&0x7f | 1, id[2]})
	}
	var group [16]byte
	copy(group[2:], id[:])
	group[0] = 0xff
	// Only T of the flags, transient (RFC 4291 §2.7): P and R promise that the group
	// holds somebody's prefix (RFC 3306, RFC 3956), which this one does not.
	group[1] = 0x10 | control.As16()[1]&0xf
	// The last four bytes are also those of the MAC address, 33:33:…. From 0x80000000 on
	// they are nobody's by registration (RFC 3307 §4.3), and those of ff02::1:ff00:0/104,
	// by which hosts ask for each other's addresses, begin with 0xff.
	group[12] = 0x80 | id[10]&0x3f
	return netip.AddrFrom16(group)
}
