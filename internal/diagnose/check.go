package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"multiserver/internal/netcheck"
	"multiserver/internal/udp"
)

// Finding is the result of one check.
type Finding = netcheck.Finding

// Constants of the checks.
const (
	// checkLimit ends a check whatever happens: looking a name up may take long.
	checkLimit = 9 * time.Second
	// checkSearch is how long a server may take to answer: it is asked three times.
	checkSearch = 2500 * time.Millisecond
	// checkQuerier is how long to listen for a querier.
	checkQuerier = 3 * time.Second
	// neverQuery is longer than any check listens.
	neverQuery = time.Hour
)

// checker reports the findings of one check. side is the configuration's type.
type checker struct {
	tell func(Finding)
	side string
}

func (k checker) ok(what, format string, args ...any) {
	k.tell(Finding{Level: netcheck.OK, What: what, Text: fmt.Sprintf(format, args...)})
}

func (k checker) note(what, advice, format string, args ...any) {
	k.tell(Finding{Level: netcheck.Note, What: what, Text: fmt.Sprintf(format, args...), Advice: advice})
}

func (k checker) wrong(what, advice, format string, args ...any) {
	k.tell(Finding{Level: netcheck.Wrong, What: what, Text: fmt.Sprintf(format, args...), Advice: advice})
}

// setting is a field of the configuration.
func (k checker) setting(field string) string { return k.side + "." + field }

func (k checker) all(findings []Finding) {
	for _, f := range findings {
		k.tell(f)
	}
}

// network checks the interfaces, the routes and the kernel's settings. It returns nil if there
// is no usable interface.
func (k checker) network(name string, group netip.Addr) []udp.Interface {
	interfaces, err := udp.CandidateInterfaces(name, group)
	if err != nil {
		k.wrong("interface", "set it up, give it an address, or name another one with "+k.setting("Interface"), "%v", err)
		return nil
	}
	names := strings.Split(udp.InterfaceNames(interfaces), ", ")
	for _, each := range interfaces {
		k.oneInterface(each, len(interfaces) == 1)
	}
	if name == "" {
		k.unusable(interfaces, group)
		if len(names) > 1 {
			k.note("interface", "if it is the wrong one, name one: "+k.setting("Interface")+" "+names[0], "%d may be used: %s; the one on which the other side answers is", len(names), udp.InterfaceNames(interfaces))
		}
	}
	k.route(interfaces, group)
	if !group.Is6() {
		k.all(netcheck.Settings(names))
	}
	return interfaces
}

// oneInterface checks a candidate. alone says that there is no other.
func (k checker) oneInterface(i udp.Interface, alone bool) {
	speed, up := netcheck.Speed(i.Name)
	if !up {
		level := netcheck.Note
		if alone {
			level = netcheck.Wrong
		}
		k.tell(Finding{Level: level, What: "interface", Text: i.Name + " has no carrier", Advice: "is the cable in, is the port of the switch on?"})
		return
	}
	addrs := make([]string, len(i.Addrs))
	for n, each := range i.Addrs {
		addrs[n] = each.String()
	}
	text := fmt.Sprintf("%s is up, %s, MTU %d", i.Name, strings.Join(addrs, ", "), i.MTU)
	if speed > 0 {
		text += ", " + rateText(float64(speed))
	}
	k.ok("interface", "%s", text)
}

// unusable reports the interfaces that are not candidates, and why.
func (k checker) unusable(usable []udp.Interface, group netip.Addr) {
	all, err := net.Interfaces()
	if err != nil {
		return // candidateInterfaces' error has been reported
	}
	var others []string
	for _, each := range all {
		switch {
		case each.Flags&net.FlagLoopback != 0, slices.ContainsFunc(usable, func(u udp.Interface) bool { return u.Index == each.Index }):
		case each.Flags&net.FlagUp == 0:
			others = append(others, each.Name+" is down")
		case each.Flags&net.FlagMulticast == 0:
			others = append(others, each.Name+" cannot multicast")
		default:
			others = append(others, fmt.Sprintf("%s has no %s address", each.Name, udp.Family(group)))
		}
	}
	if len(others) > 0 {
		k.note("interface", "", "not used: %s", strings.Join(others, ", "))
	}
}

// route reports which interface the routing table chooses. The programs choose their own.
func (k checker) route(interfaces []udp.Interface, group netip.Addr) {
	ifIndex, err := netcheck.Route(group)
	switch {
	case err != nil: // the table cannot be read
	case ifIndex == 0:
		k.ok("route", "none to %s, and none is needed: the interface is named to the system", group)
	case slices.ContainsFunc(interfaces, func(i udp.Interface) bool { return i.Index == ifIndex }):
		k.ok("route", "%s goes by %s", group, udp.InterfaceName(ifIndex))
	default:
		k.note("route", "if that one is meant, name it: "+k.setting("Interface")+" "+udp.InterfaceName(ifIndex), "%s would go by %s, but %s is used", group, udp.InterfaceName(ifIndex), udp.InterfaceNames(interfaces))
	}
}

// buffer reports the size of the stream's receive buffer.
func (k checker) buffer(stream *udp.Receiver) {
	got, asked := stream.BufferBytes()
	if got < asked {
		k.note("buffer", fmt.Sprintf("run as root, or sysctl -w net.core.rmem_max=%d", asked),
			"the receive buffer has %d KiB, not %d: while this machine is busy for %.1f ms, all that comes at 1 Gbit/s is lost", got>>10, asked>>10, float64(got)*8e3/1e9)
	} else {
		k.ok("buffer", "the receive buffer has %d KiB", got>>10)
	}
	for _, warning := range stream.Warnings() {
		if !strings.Contains(warning.Error(), "receive buffer") {
			k.note("socket", "", "%v", warning)
		}
	}
}

// membershipPackets are the packets by which switches ask for members.
func membershipPackets(group netip.Addr) []netcheck.Packet {
	if group.Is6() { // most firewalls let MLD pass: IPv6 cannot do without ICMP
		return nil
	}
	return []netcheck.Packet{{
		Name: "IGMP queries", Protocol: netcheck.IGMP, Rule: "ip protocol igmp",
		To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 1}), 0),
	}}
}

// listenForQuerier begins to listen for queriers on the interfaces. report waits for the end of
// that, and reports what was found.
func (k checker) listenForQuerier(ctx context.Context, interfaces []udp.Interface, group netip.Addr) (report func()) {
	if group.Is6() || interfaces[0].Loopback {
		return func() {}
	}
	var failed error
	heard := make(chan string, len(interfaces)) // from each listener, "" if it got no query
	listening := 0
	limited, cancel := context.WithTimeout(ctx, checkQuerier)
	for _, each := range interfaces {
		querier, err := udp.NewQuerier(each, neverQuery)
		if err != nil {
			failed = cmp.Or(failed, err)
			continue
		}
		listening++
		go func() {
			_ = querier.Run(limited) // it ends with the time, or the interface
			line := ""
			if from, _, ok := querier.LastQuery(); ok {
				line = fmt.Sprintf("%s is heard on %s", from, each.Name)
			}
			heard <- line
		}()
	}
	return func() {
		defer cancel()
		found := false
		for range listening {
			if line := <-heard; line != "" {
				found = true
				k.ok("querier", "%s", line)
			}
		}
		switch {
		case found:
		case errors.Is(failed, os.ErrPermission):
			k.note("querier", "run this as root or with CAP_NET_RAW", "it takes root to listen for IGMP queriers")
		case failed != nil && !errors.Is(failed, errors.ErrUnsupported):
			k.note("querier", "", "%v", failed)
		case listening > 0:
			k.note("querier", "if the stream stops after some minutes, let the switch or a router send IGMP queries; multiserver sends them, as root, where nobody else does",
				"no IGMP querier heard in %s; they ask each 125 s", checkQuerier)
		}
	}
}

// rateText is a rate for a person.
func rateText(bitsPerSec float64) string {
	if bitsPerSec >= 1e9 {
		return fmt.Sprintf("%.3g Gbit/s", bitsPerSec/1e9)
	}
	return fmt.Sprintf("%.3g Mbit/s", bitsPerSec/1e6)
}
