// Package twins is about machines that have the same address, as clones do that a DHCP server
// takes for one machine. Toward says what a client tells of its machine; Text is what both sides say
// of two of them. Package roster decides whether there are two.
package twins

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"multiserver/internal/quote"
)

// Machine tells one machine from another that has the same address.
type Machine struct {
	// Addr is the address that the machine asks from, by its own knowledge, without a zone. A
	// router that translates addresses shows another one.
	Addr netip.Addr
	// Digest is the same for all programs on an interface of the machine until its next boot. It
	// tells nothing of the machine. 0: unknown.
	Digest uint64
}

// bootIDFile has a number of Linux that is random at each boot.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// Toward returns the Machine as which this one asks a host, by the routing table. Nothing is sent.
func Toward(host netip.Addr) Machine {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 9)))
	if err != nil {
		return Machine{}
	}
	defer conn.Close()
	own := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	interfaces, err := net.Interfaces()
	if err != nil {
		return Machine{}
	}
	for _, each := range interfaces {
		addrs, err := each.Addrs()
		if err != nil {
			continue
		}
		for _, addr := range addrs {
			if prefix, ok := addr.(*net.IPNet); ok && prefix.IP.Equal(own.AsSlice()) {
				return at(each.Index, own)
			}
		}
	}
	return Machine{}
}

// at is the Machine of an interface, with one of its addresses.
func at(index int, addr netip.Addr) Machine {
	each, err := net.InterfaceByIndex(index)
	if err != nil {
		return Machine{}
	}
	bootID, err := os.ReadFile(bootIDFile)
	if err != nil {
		return Machine{}
	}
	return Machine{addr.WithZone(""), digest(bootID, each.HardwareAddr)}
}

// digest is 0 if there is no boot id: without that random number, a hardware address could be
// guessed from it.
func digest(bootID []byte, hardware net.HardwareAddr) uint64 {
	if len(bootID) == 0 {
		return 0
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "multiserver 2026 machine\n%d %s%s", len(bootID), bootID, hardware)
	return max(1, binary.BigEndian.Uint64(hash.Sum(nil)))
}

// Text is what both sides say of an address that two machines have, by their names: the same
// words.
func Text(addr netip.Addr, one, other string) string {
	one, other = min(one, other), max(one, other)
	who := ", " + quote.Name(one) + " and " + quote.Name(other)
	switch {
	case one == "":
		who = ""
	case one == other:
		who = ", both named " + quote.Name(one)
	}
	return fmt.Sprintf("%s is the address of two machines%s: what is sent to one of them often reaches the other; "+
		"give each an address of its own (clones of one disk: run systemd-machine-id-setup on each after removing /etc/machine-id, or let the DHCP server go by hardware addresses)",
		addr, who)
}
