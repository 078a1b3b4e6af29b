package netcheck

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// settings reads numbers from a tree like /proc/sys/net/ipv4.
type settings struct{ root string }

// number is 0 for what is not there: a setting that the kernel does not have is off.
func (s settings) number(path string) int {
	text, err := os.ReadFile(filepath.Join(s.root, path))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text))) // 0 as well
	return n
}

// ofInterface is the larger of what a setting is for all and for one, which is what
// counts for those that are asked for here.
func (s settings) ofInterface(name, setting string) int {
	return max(s.number("conf/all/"+setting), s.number("conf/"+name+"/"+setting))
}

// Settings looks at the kernel's settings of IPv4 multicast for interfaces that may be
// received by. What is as usual is not told.
func Settings(interfaces []string) []Finding {
	return settings{"/proc/sys/net/ipv4"}.findings(interfaces)
}

func (s settings) findings(interfaces []string) (all []Finding) {
	if _, err := os.Stat(filepath.Join(s.root, "igmp_max_memberships")); err == nil && s.number("igmp_max_memberships") <= 0 {
		all = append(all, Finding{Wrong, "kernel", "net.ipv4.igmp_max_memberships is 0: no group can be joined", "sysctl -w net.ipv4.igmp_max_memberships=20"})
	}
	for _, name := range interfaces {
		// The address that a stream comes from must be routed by the interface that it
		// comes by: with one interface it nearly always is.
		if strict := s.ofInterface(name, "rp_filter") == 1; strict && len(interfaces) > 1 {
			all = append(all, Finding{Note, "kernel",
				fmt.Sprintf("rp_filter of %s is strict: multicast from a server that is routed by another interface is dropped there", name),
				fmt.Sprintf("if the server is in another network: sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.%s.rp_filter=2", name)})
		}
		if version := s.ofInterface(name, "force_igmp_version"); version != 0 {
			all = append(all, Finding{Note, "kernel",
				fmt.Sprintf("force_igmp_version of %s is %d", name, version),
				fmt.Sprintf("if a switch does not pass the group: sysctl -w net.ipv4.conf.all.force_igmp_version=0 net.ipv4.conf.%s.force_igmp_version=0", name)})
		}
	}
	return all
}

// Speed is an interface's link speed in bits a second as its driver tells; 0 if it
// does not. Without carrier, up is false.
func Speed(name string) (bitsPerSec uint64, up bool) {
	return link{"/sys/class/net/" + name}.speed()
}

// link reads a folder like /sys/class/net/eth0.
type link struct{ folder string }

func (l link) speed() (bitsPerSec uint64, up bool) {
	carrier, err := os.ReadFile(filepath.Join(l.folder, "carrier"))
	up = err != nil || strings.TrimSpace(string(carrier)) != "0"
	text, err := os.ReadFile(filepath.Join(l.folder, "speed"))
	if err != nil {
		return 0, up
	}
	megabits, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32) // -1 if unknown
	if err != nil || megabits >= 1<<31 {                                        // and so from 32 bits
		return 0, up
	}
	return megabits * 1e6, up
}
