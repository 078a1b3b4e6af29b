package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ErrUnknownInterface is wrapped by what CandidateInterfaces returns if no interface has
// the name. Other errors may mend themselves: the network may just be being set up.
var ErrUnknownInterface = errors.New("no such network interface")

// unknownInterface lets its text stand alone.
type unknownInterface struct{ error }

func (unknownInterface) Is(target error) bool { return target == ErrUnknownInterface }

// Candidates are the interfaces that a group can be used on at one moment.
type Candidates struct {
	// Ready are up, can multicast and have an address of the group's family. The loopback is
	// among them only if it was named, or if no other interface is up: one that is up and lacks
	// something is being set up.
	Ready []Interface
	// Waiting says of each other interface what it lacks, such as "eth0 is up and has no IPv4
	// address yet", and of a ready one that it has no link yet.
	Waiting []string

	unknown bool // no interface has the name
}

// Lacks says what one of the interfaces lacks now, such as "eth0 has no link"; "" if nothing.
func (c *Candidates) Lacks(name string) string {
	for _, each := range c.Waiting {
		if strings.HasPrefix(each, name+" ") {
			return strings.ReplaceAll(each, " yet", "")
		}
	}
	if !slices.ContainsFunc(c.Ready, func(i Interface) bool { return i.Name == name }) {
		return name + " does not exist"
	}
	return ""
}

// link is an interface of the host as the system lists it.
type link struct {
	Interface // without the addresses of IPv6 that cannot be used
	up        bool
	multicast bool // or it is the loopback
	running   bool // it has a carrier
	// port: it is part of a bridge or a bond, which has the addresses.
	port bool
	// tentative: it has an address of IPv6 that is still checked for duplicates; taken: another
	// host has it; noIPv6: it never gets one.
	tentative, taken, noIPv6 bool
}

// ListCandidates lists the interfaces anew, and chooses the one called name, or all if that is "".
func ListCandidates(name string, group netip.Addr) (Candidates, error) {
	links, err := listLinks()
	if err != nil {
		return Candidates{}, err
	}
	return choose(links, name, group), nil
}

func choose(links []link, name string, group netip.Addr) (c Candidates) {
	var loopbacks []Interface
	coming := false
	for _, l := range links {
		switch {
		case name != "" && l.Name != name, name == "" && !l.multicast:
			continue
		case name == "" && l.Loopback:
			if l.lacks(group) == "" {
				loopbacks = append(loopbacks, l.Interface)
			}
			continue
		}
		lacks := l.lacks(group)
		if lacks == "" {
			c.Ready = append(c.Ready, l.Interface)
			if !l.running {
				c.Waiting = append(c.Waiting, l.Name+" has no link yet")
			}
			continue
		}
		if name == "" && (l.port || l.noIPv6 && group.Is6()) {
			continue
		}
		coming = coming || l.up
		c.Waiting = append(c.Waiting, l.Name+" "+lacks)
	}
	if name == "" && len(c.Ready) == 0 && !coming {
		c.Ready = loopbacks
	}
	switch {
	case len(c.Ready) > 0 || len(c.Waiting) > 0:
	case name == "":
		c.Waiting = []string{"no network interface is up"}
	default:
		c.unknown = true
		names := make([]string, len(links))
		for n, l := range links {
			names[n] = l.Name
		}
		c.Waiting = []string{fmt.Sprintf("%s does not exist yet (there are: %s)", name, strings.Join(names, ", "))}
	}
	return c
}

// lacks says what l lacks to be used for a group; "" if nothing. That it has no link is no lack:
// hosts on it are the only ones that cannot be reached.
func (l link) lacks(group netip.Addr) string {
	family := Family(group)
	switch {
	case !l.up:
		return "is down"
	case l.CanSendTo(group):
		return ""
	case !l.running:
		return fmt.Sprintf("has no link yet, and no %s address", family)
	case group.Is6() && l.tentative:
		return "checks whether its IPv6 address is free"
	case group.Is6() && l.taken:
		return "has an IPv6 address that another host has too"
	case group.Is6() && l.noIPv6:
		return "is up, and IPv6 is switched off on it"
	}
	return fmt.Sprintf("is up and has no %s address yet", family)
}

// listLinks lists all interfaces, by index, the loopback last.
func listLinks() ([]link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	links := make([]link, 0, len(all))
	for _, ifi := range all {
		i, err := describe(ifi)
		if err != nil {
			continue // it has just gone
		}
		links = append(links, link{
			Interface: i,
			up:        ifi.Flags&net.FlagUp != 0,
			multicast: ifi.Flags&(net.FlagMulticast|net.FlagLoopback) != 0,
			running:   ifi.Flags&net.FlagRunning != 0,
		})
	}
	slices.SortFunc(links, func(a, b link) int { return byIndexLoopbackLast(a.Interface, b.Interface) })
	inspect(links)
	return links, nil
}

// CandidateInterfaces returns the interface called name. If name is empty, it returns
// every interface that is up, can multicast and has an address of the group's family;
// the loopback only if no other is up.
func CandidateInterfaces(name string, group netip.Addr) ([]Interface, error) {
	c, err := ListCandidates(name, group)
	switch {
	case err != nil:
		return nil, err
	case c.unknown:
		_, err := InterfaceByName(name)
		if err == nil { // it has just come
			err = fmt.Errorf("network interface %s has no %s address", name, Family(group))
		}
		return nil, unknownInterface{err}
	case len(c.Ready) == 0 && name != "":
		return nil, fmt.Errorf("network interface %s", c.Waiting[0])
	case len(c.Ready) == 0:
		return nil, fmt.Errorf("no network interface is up, has an %s address and can multicast: %s", Family(group), strings.Join(c.Waiting, ", "))
	}
	return c.Ready, nil
}

// InterfaceNames lists the names for a message, with commas between.
func InterfaceNames(interfaces []Interface) string {
	names := make([]string, len(interfaces))
	for i, each := range interfaces {
		names[i] = each.Name
	}
	return strings.Join(names, ", ")
}

// InterfaceName is the name of the interface of that index, or the index itself if the
// interface is gone.
func InterfaceName(index int) string {
	if each, err := net.InterfaceByIndex(index); err == nil {
		return each.Name
	}
	return strconv.Itoa(index)
}
