package udp

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// onlyIGMP drops what is not IGMP before it is queued.
var onlyIGMP = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9}, // IP's protocol
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: protocolIGMP, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xFFFF},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// openIGMP returns a socket that reads the IP packets of IGMP that arrive by the
// interface. It is a packet socket (packet(7)): raw(7) puts the host's address in the
// place of the source 0.0.0.0, and hears only whom the host has a route to.
func openIGMP(ifIndex int) (*os.File, error) {
	// Protocol 0 is none: nothing is queued before bind.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	filter := unix.SockFprog{Len: uint16(len(onlyIGMP)), Filter: &onlyIGMP[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocolIP(), Ifindex: ifIndex}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), "igmp"), nil
}

// sendIGMP sends an IP packet to 224.0.0.1.
func sendIGMP(socket *os.File, ifIndex int, packet []byte) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	to := &unix.SockaddrLinklayer{
		Protocol: protocolIP(),
		Ifindex:  ifIndex,
		Halen:    6,
		Addr:     [8]byte{0x01, 0x00, 0x5E, 0, 0, 1}, // RFC 1112 §6.4
	}
	return control(raw, func(fd int) error {
		return os.NewSyscallError("sendto", unix.Sendto(fd, packet, unix.MSG_DONTWAIT, to))
	})
}

// protocolIP is Ethernet's number of IPv4 in network order.
func protocolIP() uint16 {
	return binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xFF})
}
