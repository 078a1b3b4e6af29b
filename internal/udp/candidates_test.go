package udp

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// listed makes the link of a test.
func listed(index int, name string, addrs ...string) link {
	l := link{Interface: Interface{Index: index, Name: name, MTU: 1500}, up: true, multicast: true, running: true}
	for _, each := range addrs {
		l.Addrs = append(l.Addrs, netip.MustParsePrefix(each))
	}
	if name == "lo" {
		l.Loopback, l.MTU = true, 65536
	}
	return l
}

func (l link) with(change func(*link)) link {
	change(&l)
	return l
}

// TestChoose: which interfaces are used, and what the others lack.
func TestChoose(t *testing.T) {
	lo := listed(1, "lo", "127.0.0.1/8", "::1/128")
	good := listed(2, "eth0", "10.0.0.1/24", "fe80::1/64")
	bare := listed(2, "eth0")
	down := func(l *link) { l.up, l.running = false, false }
	unplugged := func(l *link) { l.running = false }
	for _, c := range []struct {
		name    string
		links   []link
		only    string // -i
		group   string
		ready   string
		waiting string
	}{
		{"an address", []link{good, lo}, "", "239.1.2.3", "eth0", ""},
		{"none yet", []link{bare, lo}, "", "239.1.2.3", "", "eth0 is up and has no IPv4 address yet"},
		{"none yet, named", []link{bare, lo}, "eth0", "239.1.2.3", "", "eth0 is up and has no IPv4 address yet"},
		{"one of two", []link{good, listed(3, "eth1"), lo}, "", "239.1.2.3", "eth0", "eth1 is up and has no IPv4 address yet"},
		{"no link and no address", []link{bare.with(unplugged), lo}, "", "239.1.2.3", "", "eth0 has no link yet, and no IPv4 address"},
		{"no link", []link{good.with(unplugged), lo}, "", "239.1.2.3", "eth0", "eth0 has no link yet"},
		{"no link, named", []link{good.with(unplugged), lo}, "eth0", "239.1.2.3", "eth0", "eth0 has no link yet"},
		{"down: the loopback serves meanwhile", []link{bare.with(down), lo}, "", "239.1.2.3", "lo", "eth0 is down"},
		{"down, named", []link{bare.with(down), lo}, "eth0", "239.1.2.3", "", "eth0 is down"},
		{"the loopback alone", []link{lo}, "", "239.1.2.3", "lo", ""},
		{"the loopback named", []link{bare, lo}, "lo", "239.1.2.3", "lo", ""},
		{"not there", []link{good, lo}, "eth9", "239.1.2.3", "", "eth9 does not exist yet (there are: eth0, lo)"},
		{"nothing is up", []link{lo.with(down)}, "", "239.1.2.3", "", "no network interface is up"},
		{"what cannot multicast is no network", []link{bare.with(func(l *link) { l.multicast = false }), lo}, "", "239.1.2.3", "lo", ""},
		{"a port of a bridge gets no address", []link{bare.with(func(l *link) { l.port = true }), lo}, "", "239.1.2.3", "lo", ""},
		{"IPv6", []link{good, lo}, "", "ff15::1", "eth0", ""},
		{"IPv6 without a link-local address", []link{listed(2, "eth0", "10.0.0.1/24"), lo}, "", "ff15::1", "", "eth0 is up and has no IPv6 address yet"},
		{"IPv6 is switched off", []link{listed(2, "eth0", "10.0.0.1/24").with(func(l *link) { l.noIPv6 = true }), lo}, "", "ff15::1", "lo", ""},
		{"IPv6 is tentative", []link{bare.with(func(l *link) { l.tentative = true }), lo}, "", "ff15::1", "", "eth0 checks whether its IPv6 address is free"},
		{"IPv6 is taken", []link{bare.with(func(l *link) { l.taken = true }), lo}, "", "ff15::1", "", "eth0 has an IPv6 address that another host has too"},
	} {
		got := choose(c.links, c.only, netip.MustParseAddr(c.group))
		if ready, waiting := InterfaceNames(got.Ready), strings.Join(got.Waiting, "; "); ready != c.ready || waiting != c.waiting {
			t.Errorf("%s: ready %q, waiting %q; want %q, %q", c.name, ready, waiting, c.ready, c.waiting)
		}
	}
}

// TestAwait: the interfaces are listed anew until one can be used, and each reason is told once.
func TestAwait(t *testing.T) {
	eth0 := listed(2, "eth0", "10.0.0.1/24").Interface
	listings := []Candidates{
		{Waiting: []string{"eth0 does not exist yet"}}, {Waiting: []string{"eth0 does not exist yet"}},
		{Waiting: []string{"eth0 has no link yet"}}, {Ready: []Interface{eth0}},
	}
	var told []string
	a := Await{Tell: func(waiting string) { told = append(told, waiting) }}
	a.List = func(string, netip.Addr) (Candidates, error) {
		c := listings[0]
		listings = listings[1:]
		return c, nil
	}
	got, err := a.Interfaces(t.Context())
	if err != nil || len(got) != 1 || got[0].Name != "eth0" {
		t.Errorf("got %v, %v", got, err)
	}
	if want := []string{"eth0 does not exist yet", "eth0 has no link yet"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	a.List = func(string, netip.Addr) (Candidates, error) {
		return Candidates{Waiting: []string{"eth0 has no link yet"}}, nil
	}
	a.Limit = time.Millisecond
	var notReady *NotReadyError
	if _, err := a.Interfaces(t.Context()); !errors.As(err, &notReady) || notReady.Waiting != "eth0 has no link yet" {
		t.Errorf("at the limit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a.Limit = 0
	if _, err := a.Interfaces(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestLacks: what an interface that was in use lacks now, in words for that.
func TestLacks(t *testing.T) {
	group := netip.MustParseAddr("239.1.2.3")
	good := listed(2, "eth0", "10.0.0.1/24")
	for want, l := range map[string]link{
		"":                                   good,
		"eth0 is up and has no IPv4 address": listed(2, "eth0"),
		"eth0 has no link":                   good.with(func(l *link) { l.running = false }),
		"eth0 does not exist":                listed(3, "eth1", "10.0.0.1/24"),
	} {
		if c := choose([]link{l}, "", group); c.Lacks("eth0") != want {
			t.Errorf("it lacks %q, want %q", c.Lacks("eth0"), want)
		}
	}
	other := good.with(func(l *link) { l.Addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")} })
	if !good.Same(good.Interface) || good.Same(other.Interface) || good.Same(listed(3, "eth0", "10.0.0.1/24").Interface) {
		t.Error("interfaces are compared wrongly")
	}
}
