package netcheck

import "net/netip"

// Protocols of IP.
const (
	IGMP = 2
	UDP  = 17
)

// Packet is one that must pass this host's firewall, as far as it is known beforehand.
// A port of 0 may be any.
type Packet struct {
	Name     string // for the finding: "the stream"
	Out      bool   // it leaves this host; else it comes
	Protocol byte   // UDP or IGMP
	From, To netip.AddrPort
	// Rule is what a rule must match to let it pass, as nft(8) takes it: "udp dport 16000".
	Rule string
}
