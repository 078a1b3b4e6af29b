package udp

import (
	"bufio"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// duplicateDetectionLimit is how long new addresses are waited for: the kernel
	// asks the network for a second, after up to another (RFC 4862 §5.4).
	duplicateDetectionLimit = 3 * time.Second
	duplicateDetectionTick  = 50 * time.Millisecond
)

// awaitAddresses returns when no address of the interfaces is tentative, from which
// nothing can be sent (EADDRNOTAVAIL, or EINVAL if it is asked for): so they are for a
// second or two after an interface came up. It gives up in silence: sending then says
// what is wrong.
func awaitAddresses(interfaces []Interface) {
	for limit := time.Now().Add(duplicateDetectionLimit); time.Now().Before(limit); time.Sleep(duplicateDetectionTick) {
		table, err := os.Open("/proc/thread-self/net/if_inet6")
		if err != nil {
			return // without IPv6, or without /proc
		}
		tentative := tentativeInterfaces(table)
		table.Close()
		if !slices.ContainsFunc(interfaces, func(i Interface) bool { return slices.Contains(tentative, i.Index) }) {
			return
		}
	}
}

// tentativeInterfaces are the indices of those in a table like /proc/net/if_inet6 with an address
// that is being checked for duplicates, and was not found to be one.
func tentativeInterfaces(table io.Reader) (indices []int) {
	for _, a := range readAddresses6(table) {
		if a.flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == unix.IFA_F_TENTATIVE {
			indices = append(indices, a.index)
		}
	}
	return indices
}

// address6 is an address of IPv6 as the kernel lists it.
type address6 struct {
	index int // of its interface
	addr  netip.Addr
	flags uint64 // IFA_F_…
}

// readAddresses6 reads a table like /proc/net/if_inet6 (address, index, prefix length, scope,
// flags, all hexadecimal, and the name). What is no such line is skipped.
func readAddresses6(table io.Reader) (all []address6) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 6 {
			continue
		}
		address, err := hex.DecodeString(fields[0])
		if err != nil || len(address) != 16 {
			continue
		}
		index, errIndex := strconv.ParseUint(fields[1], 16, 31)
		flags, errFlags := strconv.ParseUint(fields[4], 16, 32)
		if errIndex == nil && errFlags == nil {
			all = append(all, address6{int(index), netip.AddrFrom16([16]byte(address)), flags})
		}
	}
	return all
}
