package udp

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portOwner finds the process whose UDP socket keeps addr from being bound: 0 and
// "" if there is none or we may not see it.
func portOwner(addr netip.AddrPort) (pid int, command string) {
	var wanted []string
	for _, table := range []string{"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for _, inode := range socketInodes(f, addr) {
			wanted = append(wanted, fmt.Sprintf("socket:[%d]", inode))
		}
		f.Close()
	}
	for _, link := range wanted {
		links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // fails for a bad pattern only
		for _, path := range links {
			if target, err := os.Readlink(path); err != nil || target != link {
				continue
			}
			process := filepath.Dir(filepath.Dir(path))
			name, err := os.ReadFile(filepath.Join(process, "comm"))
			if err != nil {
				continue // it has just ended
			}
			pid, _ = strconv.Atoi(filepath.Base(process)) // the pattern has digits only
			return pid, strings.TrimSpace(string(name))
		}
	}
	return 0, ""
}

// socketInodes reads a table like /proc/net/udp or udp6 (proc_pid_net(5)) and
// returns the inodes of the sockets that are bound to addr's port and to its
// address, or to all if either is. What is no such line is skipped.
func socketInodes(table io.Reader, addr netip.AddrPort) (inodes []uint64) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		local, ok := parseProcAddr(fields[1])
		if !ok || local.Port() != addr.Port() {
			continue
		}
		if local.Addr().Is4() && addr.Addr().Is6() { // IPv6's sockets are its own; IPv4 may share one of IPv6
			continue
		}
		if local.Addr() != addr.Addr().WithZone("") && !local.Addr().IsUnspecified() && !addr.Addr().IsUnspecified() {
			continue
		}
		if inode, err := strconv.ParseUint(fields[9], 10, 64); err == nil && inode != 0 {
			inodes = append(inodes, inode)
		}
	}
	return inodes
}

// parseProcAddr parses "0100007F:1D4C": an address as 32-bit words of network
// order, each printed as a number of this machine, and a port.
func parseProcAddr(s string) (addr netip.AddrPort, ok bool) {
	words, portText, found := strings.Cut(s, ":")
	if !found {
		return addr, false
	}
	port, err := strconv.ParseUint(portText, 16, 16)
	if err != nil {
		return addr, false
	}
	raw, err := hex.DecodeString(words)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return addr, false
	}
	for at := 0; at < len(raw); at += 4 {
		binary.NativeEndian.PutUint32(raw[at:], binary.BigEndian.Uint32(raw[at:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), ok
}
