package udp

import (
	"bufio"
	"io"
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

// tentativeInterfaces reads a table like /proc/net/if_inet6 (address, index, prefix
// length, scope, flags, all hexadecimal, and the name) and returns the indices of
// those with an address that is being checked for duplicates, and was not found to be
// one. What is no such line is skipped.
func tentativeInterfaces(table io.Reader) (indices []int) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 6 {
			continue
		}
		index, err := strconv.ParseUint(fields[1], 16, 31)
		if err != nil {
			continue
		}
		flags, err := strconv.ParseUint(fields[4], 16, 32)
		if err == nil && flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == unix.IFA_F_TENTATIVE {
			indices = append(indices, int(index))
		}
	}
	return indices
}
