package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
)

// vnetHeaderBytes is the size of a struct virtio_net_hdr.
const vnetHeaderBytes = 10

// newTap makes the host a bridge with one tap, or skips the test.
func newTap(t *testing.T, h *Host) *os.File {
	t.Helper()
	if err := h.MakeBridge(); err != nil {
		t.Fatal(err)
	}
	tap, err := h.AddTap()
	if errors.Is(err, ErrUnavailable) {
		t.Skip("needs the module tun:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tap.Close() }) // perhaps a second time
	if err := tap.SetDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	return tap
}

// readFrame reads frames from a tap until one has these bytes.
func readFrame(t *testing.T, tap *os.File, payload []byte) []byte {
	t.Helper()
	frame := make([]byte, 1<<16)
	for {
		n, err := tap.Read(frame)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(frame[:n], payload) {
			return frame[:n]
		}
	}
}

// TestTap: what the bridge's own host and another one send to a group arrives at a tap, and
// what is written to the tap arrives at both.
func TestTap(t *testing.T) {
	l := NewTest(t, Config{Hosts: 2})
	own, other := l.Hosts[0], l.Hosts[1]
	tap := newTap(t, own)
	if own.Name != bridgeName || own.Address.String() != "10.77.0.1/24" {
		t.Errorf("the host's interface is %s with %v", own.Name, own.Address)
	}
	before := counters(t, own.Interface).SentBytes
	ends := map[*Host]*ipv4.PacketConn{}
	for _, h := range l.Hosts {
		ends[h] = open(t, h.Interface, "", broadcastPort)
		payload := []byte("from host " + h.Address.String())
		if _, err := ends[h].WriteTo(payload, nil, net.UDPAddrFromAddrPort(group)); err != nil {
			t.Fatal(err)
		}
		readFrame(t, tap, payload)
	}
	if counters(t, own.Interface).SentBytes == before {
		t.Error("what the host sent is not in the counters of its interface")
	}

	// A broadcast as the other host would send it, with another payload.
	payload, changed := []byte("a broadcast of the other"), []byte("a broadcast of a machine")
	if _, err := ends[other].WriteTo(payload, nil, net.UDPAddrFromAddrPort(broadcastOf(other.Interface))); err != nil {
		t.Fatal(err)
	}
	frame := bytes.Replace(readFrame(t, tap, payload), payload, changed, 1)
	copy(frame[:vnetHeaderBytes], make([]byte, vnetHeaderBytes)) // no offloads
	ethernet := frame[vnetHeaderBytes:]
	ip := ethernet[14:][:20]
	copy(ethernet[6:], "\x52\x54\x00\x00\x00\x01") // a card and an address of its own
	copy(ip[12:], []byte{10, 77, 0, 101})
	copy(ip[10:], []byte{0, 0})
	binary.BigEndian.PutUint16(ip[10:], headerChecksum(ip))
	copy(ethernet[14+20+6:], []byte{0, 0}) // UDP needs no checksum
	if _, err := tap.Write(frame); err != nil {
		t.Fatal(err)
	}
	for h, end := range ends {
		if err := end.SetReadDeadline(time.Now().Add(long)); err != nil {
			t.Fatal(err)
		}
		for received := make([]byte, 1500); ; {
			n, _, _, err := end.ReadFrom(received)
			if err != nil {
				t.Fatalf("host %d: %v", h.Number, err)
			}
			if bytes.Equal(received[:n], changed) {
				break
			}
		}
	}
}

// headerChecksum is that of an IPv4 header whose own is 0 (RFC 1071).
func headerChecksum(header []byte) uint16 {
	var sum uint32
	for ; len(header) > 0; header = header[2:] {
		sum += uint32(binary.BigEndian.Uint16(header))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// TestTapGoes: the device goes with its file.
func TestTapGoes(t *testing.T) {
	l := NewTest(t, Config{Hosts: 1})
	tap := newTap(t, l.Hosts[0])
	taps := func() (names []string) {
		t.Helper()
		links, err := l.Hosts[0].namespace.links.LinkList()
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			if strings.HasPrefix(link.Attrs().Name, "tap") {
				names = append(names, link.Attrs().Name)
			}
		}
		return names
	}
	if len(taps()) != 1 {
		t.Errorf("the host has %v, want one tap", taps())
	}
	if err := tap.Close(); err != nil {
		t.Fatal(err)
	}
	if len(taps()) != 0 {
		t.Errorf("the host still has %v", taps())
	}
}

// TestTapNeedsBridge: a tap that is no port of anything leads nowhere.
func TestTapNeedsBridge(t *testing.T) {
	l := NewTest(t, Config{Hosts: 1})
	tap, err := l.Hosts[0].AddTap()
	if errors.Is(err, ErrUnavailable) {
		t.Skip("needs the module tun:", err)
	}
	if err == nil {
		tap.Close()
		t.Error("a host without a bridge takes a tap")
	}
}
