package lab

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestEnableIPv6(t *testing.T) {
	l := NewTest(t, Config{})
	if _, err := l.AddNetwork(l.Hosts...); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := l.EnableIPv6(); errors.Is(err, ErrUnavailable) {
			t.Skip("needs a kernel with IPv6: ", err)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if want := netip.MustParsePrefix("fd77::1:0:0:0:2/64"); l.networks[1].Interfaces[1].Address6 != want {
		t.Errorf("host 1 has %v in the second network, want %v", l.networks[1].Interfaces[1].Address6, want)
	}
	for _, n := range l.networks {
		from, to := n.Interfaces[0], n.Interfaces[1]
		if !to.LinkLocal.IsLinkLocalUnicast() || to.LinkLocal.Zone() != to.Name {
			t.Errorf("the link-local address on %s is %v", to.Name, to.LinkLocal)
		}
		var in, out *net.UDPConn
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(to.host.Do(func() (err error) {
			in, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Address6.Addr(), 0)))
			return err
		}))
		defer in.Close()
		must(from.host.Do(func() (err error) {
			out, err = net.DialUDP("udp6", nil, in.LocalAddr().(*net.UDPAddr))
			return err
		}))
		defer out.Close()
		if _, err := out.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		_, source, err := in.ReadFromUDPAddrPort(b[:])
		if err != nil || source.Addr() != from.Address6.Addr() {
			t.Errorf("a packet from %v, error %v, want %v", source, err, from.Address6.Addr())
		}
	}
}
