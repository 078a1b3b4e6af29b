package udp

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// loopback returns the interface that every test here sends by.
func loopback(t testing.TB) Interface {
	t.Helper()
	all, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 || !all[len(all)-1].Loopback {
		t.Skip("the loopback interface is down or has no IPv4 address: ip link set lo up")
	}
	return all[len(all)-1]
}

func TestBroadcasts(t *testing.T) {
	tests := []struct {
		name     string
		prefixes []string
		want     []string
	}{
		{"none", nil, nil},
		{"a class C", []string{"192.168.1.7/24"}, []string{"192.168.1.255"}},
		{"a class A", []string{"127.0.0.1/8"}, []string{"127.255.255.255"}},
		{"not on a byte's border", []string{"10.1.2.3/22", "10.9.0.5/29"}, []string{"10.1.3.255", "10.9.0.7"}},
		{"two addresses, one network", []string{"10.0.0.1/24", "10.0.0.2/24"}, []string{"10.0.0.255"}},
		{"point to point", []string{"10.0.0.1/32", "10.0.0.2/31", "10.0.0.1/30"}, []string{"10.0.0.3"}},
		{"all", []string{"10.0.0.1/0"}, []string{"255.255.255.255"}},
		{"IPv6", []string{"fe80::1/64"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var i Interface
			for _, prefix := range test.prefixes {
				i.Addrs = append(i.Addrs, netip.MustParsePrefix(prefix))
			}
			var got []string
			for _, addr := range i.Broadcasts() {
				got = append(got, addr.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInterfaceAddresses(t *testing.T) {
	both := Interface{Name: "eth0", Addrs: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64"), netip.MustParsePrefix("fe80::1/64"),
	}}
	only4 := Interface{Name: "eth0", Addrs: both.Addrs[:1]}
	noLocal := Interface{Name: "eth0", Addrs: both.Addrs[1:2]}
	only6 := Interface{Name: "eth0", Addrs: both.Addrs[2:]}
	lo := Interface{Name: "lo", Loopback: true, Addrs: []netip.Prefix{netip.MustParsePrefix("::1/128")}}
	for _, test := range []struct {
		name    string
		i       Interface
		to      string
		can     bool
		local   string // source on the link
		distant string // and beyond
	}{
		{"IPv4", both, "239.1.2.3", true, "10.0.0.1", "10.0.0.1"},
		{"IPv6", both, "ff15::1", true, "fe80::1", "invalid IP"},
		{"no IPv6", only4, "ff15::1", false, "invalid IP", "invalid IP"},
		{"no IPv4", only6, "239.1.2.3", false, "invalid IP", "invalid IP"},
		{"link-local only", only6, "ff15::1", true, "fe80::1", "invalid IP"},
		{"no link-local", noLocal, "ff15::1", false, "invalid IP", "invalid IP"},
		{"loopback", lo, "ff15::1", true, "invalid IP", "invalid IP"},
		{"loopback, IPv4", lo, "239.1.2.3", false, "invalid IP", "invalid IP"},
	} {
		to := netip.MustParseAddr(test.to)
		if got := test.i.CanSendTo(to); got != test.can {
			t.Errorf("%s: CanSendTo is %v", test.name, got)
		}
		if local, distant := test.i.source(to, true).String(), test.i.source(to, false).String(); local != test.local || distant != test.distant {
			t.Errorf("%s: sends from %s, beyond the link from %s; want %s and %s", test.name, local, distant, test.local, test.distant)
		}
	}
	for addr, want := range map[string]bool{
		"10.0.0.1": true, "10.0.0.2": false, "fe80::1": true, "fe80::1%eth0": true, "fe80::1%eth1": false, "fd00::1": true, "::ffff:10.0.0.1": false,
	} {
		if got := both.Owns(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s owned: %v", addr, got)
		}
	}
}

func TestInterfaceOrder(t *testing.T) {
	all := []Interface{{Index: 1, Loopback: true}, {Index: 7}, {Index: 2}}
	slices.SortFunc(all, byIndexLoopbackLast)
	if all[0].Index != 2 || all[1].Index != 7 || all[2].Index != 1 {
		t.Errorf("got %v", all)
	}
}

func TestInterfaces(t *testing.T) {
	lo := loopback(t)
	all, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if len(i.Addrs) == 0 || i.Index == 0 || i.MTU == 0 {
			t.Errorf("%+v lacks something", i)
		}
		byName, err := InterfaceByName(i.Name)
		if err != nil {
			t.Errorf("%s is listed and not found: %v", i.Name, err)
		}
		if diff := cmp.Diff(i, byName, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
	}
	if !lo.Owns(netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("loopback's addresses are %v", lo.Addrs)
	}
}

func TestInterfaceByNameErrors(t *testing.T) {
	lo := loopback(t)
	_, err := InterfaceByName("no-such-one")
	if err == nil || !strings.Contains(err.Error(), `"no-such-one"`) || !strings.Contains(err.Error(), lo.Name) {
		t.Errorf("got %v", err)
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range all {
		if ifi.Flags&net.FlagUp != 0 {
			continue
		}
		if _, err := InterfaceByName(ifi.Name); err == nil || !strings.Contains(err.Error(), ifi.Name+" is down") {
			t.Errorf("%s is down: got %v", ifi.Name, err)
		}
	}
}
