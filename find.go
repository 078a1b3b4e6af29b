package multiserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"multiserver/internal/codec"
	"multiserver/internal/mxb1"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Constants of the search for a server.
const (
	// findInterval is how often the description is asked for.
	findInterval = time.Second
	// findStep is between asking by multicast, by broadcast, and at the original's
	// address, so that a server that hears the first is not asked thrice.
	findStep = 250 * time.Millisecond
	// findGrace is how long other servers may take to answer after the first: with
	// two images on the network nobody can tell which one is meant. Over MXB 2 one that
	// answers within lateGrace still ends the client.
	findGrace = 60 * time.Millisecond
	lateGrace = time.Second
)

var broadcastAll = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// found is a server and what it serves.
type found struct {
	mxb1.Description                   // of MXB 1, or what a session's says of the same
	session          *wire.Description // that of MXB 2, if the server speaks it
	server           netip.AddrPort
	ifIndex          int // of the interface that the answer came in by
	askFrom          int // of the interface to ask by; 0 leaves it to the routing table
}

// same tells whether d describes the image that was found.
func (f *found) same(d mxb1.Description) bool {
	return d.SizeBytes == f.SizeBytes && d.Name == f.Name && d.Identity == f.Identity && d.HasTrailer == f.HasTrailer
}

// protocol is its name in figures.
func (f *found) protocol() string {
	if f.session != nil {
		return "mxb2"
	}
	return "mxb1"
}

// sectorSize is that of the disks that the image is made for; an original server does
// not tell.
func (f *found) sectorSize() uint32 {
	if f.session == nil {
		return 0
	}
	return f.session.SectorSize
}

// rivals is the error of two servers that offer different images.
func (f *found) rivals(other *found) error {
	return fail(ErrIntegrity, "two servers answer: %s serves %s (%d bytes), %s serves %s (%d bytes): choose one with -s HOST:PORT",
		f.server, f.Name, f.SizeBytes, other.server, other.Name, other.SizeBytes)
}

// find asks for a description once a second until one comes. Where no host is
// named, it fails with ErrIntegrity if two servers offer different images.
func (c *Client) find(ctx context.Context, conn *udp.Conn, interfaces []udp.Interface) (found, error) {
	var host netip.Addr
	if c.cfg.ControlHost != "" {
		var err error
		if host, err = c.resolve(ctx); err != nil {
			return found{}, err
		}
	}
	var first *found
	var grace time.Time // when the first answer stands
	start := time.Now()
	step, next := 0, start
	buf := make([]byte, 4096)
	for {
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return found{}, ctx.Err()
		case first != nil && now.After(grace):
			return *first, nil
		case c.cfg.StartTimeout != NoTimeout && now.Sub(start) > c.cfg.StartTimeout:
			return found{}, fail(ErrTimeLimit, "no server answered for %s: %s", c.cfg.StartTimeout, c.findHint(interfaces))
		case first == nil && !now.Before(next):
			next = now.Add(c.askWhere(conn, interfaces, host, step))
			step++
		}
		if now.Sub(start) > worryTime {
			c.update(func(st *ClientStats) {
				st.WaitingFor = fmt.Sprintf("no server answered for %s: %s", now.Sub(start).Round(time.Second), c.findHint(interfaces))
			})
		}
		until := now.Add(receiveTick)
		if next.After(now) && next.Before(until) {
			until = next
		}
		conn.SetReadDeadline(until)
		n, from, ifIndex, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return found{}, fmt.Errorf("wait for a server's answer: %w", err)
		}
		f, err := c.parseAnswer(buf[:n])
		if err != nil {
			c.update(func(st *ClientStats) { st.BadPackets++ })
			c.cfg.Log.Debug("no description that can be used", "server", from, "err", err)
			continue
		}
		f.server, f.ifIndex = from, ifIndex
		if host.IsValid() {
			return f, nil
		}
		f.askFrom = ifIndex
		if first == nil {
			first, grace = &f, time.Now().Add(findGrace)
		} else if !first.same(f.Description) {
			return found{}, first.rivals(&f)
		}
	}
}

// parseAnswer reads what answers a map request: a description of either protocol.
func (c *Client) parseAnswer(b []byte) (found, error) {
	if h, payload, err := mxb1.Parse(b); err == nil {
		if h.Op != mxb1.OpDescription {
			return found{}, mxb1.ErrSize
		}
		d, err := mxb1.ParseDescription(payload)
		return found{Description: d}, err
	}
	d, err := wire.ParseDescription(b)
	if err != nil {
		return found{}, err
	}
	if d.Receiver != c.id {
		return found{}, errors.New("the answer is to somebody else")
	}
	d.FileName = bytes.Clone(d.FileName)
	return found{
		Description: mxb1.Description{
			SizeBytes: d.Geometry.ImageSize, Name: string(d.FileName),
			HasTrailer: true, Identity: binary.BigEndian.Uint64(d.Identity[:]),
		},
		session: &d,
	}, nil
}

// appendOffer appends a map request that offers MXB 2, for an interface of that MTU.
func (c *Client) appendOffer(dst []byte, mtu int) []byte {
	if c.cfg.OnlyMXB1 {
		return mxb1.AppendMapRequest(dst, mxb1.Offer())
	}
	host, _ := os.Hostname() // empty if unknown
	offer := wire.Offer{
		Version:       wire.Version,
		Receiver:      c.id,
		Codecs:        1 << codec.Raw,
		LargestPacket: uint16(min(mtu-udp.HeaderBytes(c.cfg.Group), wire.MaxPacketSize)),
		HostName:      []byte(wire.Text(host)),
	}
	return mxb1.AppendMapRequest(dst, offer.AppendTo(nil))
}

// askWhere sends a map request to where step of a search looks, and returns how
// long to wait before the next step.
func (c *Client) askWhere(conn *udp.Conn, interfaces []udp.Interface, host netip.Addr, step int) time.Duration {
	mtu := interfaces[0].MTU
	for _, each := range interfaces {
		mtu = min(mtu, each.MTU)
	}
	packet := c.appendOffer(nil, mtu)
	ask := func(to netip.Addr, ifIndex int) {
		if err := conn.WriteTo(packet, netip.AddrPortFrom(to, c.cfg.ControlPort), ifIndex); err != nil {
			c.cfg.Log.Debug("ask for a server", "at", to, "err", err)
		}
	}
	if host.IsValid() {
		ask(host, 0)
		return findInterval
	}
	if c.cfg.Group.Is6() { // which has no broadcast, and the original no address in it
		for _, each := range interfaces {
			ask(c.cfg.Group, each.Index)
		}
		return findInterval
	}
	switch step % 3 {
	case 0:
		for _, each := range interfaces {
			ask(c.cfg.Group, each.Index)
		}
		return findStep
	case 1:
		for _, each := range interfaces {
			ask(broadcastAll, each.Index)
			for _, to := range each.Broadcasts() {
				ask(to, each.Index)
			}
		}
		return findStep
	default:
		if !interfaces[0].Loopback {
			ask(originalServer, 0)
		}
		return findInterval - 2*findStep
	}
}

func (c *Client) findHint(interfaces []udp.Interface) string {
	if c.cfg.ControlHost != "" {
		return fmt.Sprintf("is multiserver running on %s, and does its firewall let UDP port %d in?", c.cfg.ControlHost, c.cfg.ControlPort)
	}
	ways := "multicast and broadcast"
	if c.cfg.Group.Is6() {
		ways = fmt.Sprintf("multicast to %s", c.cfg.Group)
	}
	return fmt.Sprintf("asked on %s by %s at UDP port %d: is multiserver running in this network, is another interface meant (-i), does a firewall stand between? -s HOST asks one host",
		udp.InterfaceNames(interfaces), ways, c.cfg.ControlPort)
}

// resolve returns the address of the control host, the first one of the group's family
// if it has several.
func (c *Client) resolve(ctx context.Context) (netip.Addr, error) {
	addr, err := netip.ParseAddr(c.cfg.ControlHost)
	if err != nil {
		network := "ip4"
		if c.cfg.Group.Is6() {
			network = "ip6"
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, c.cfg.ControlHost)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("find the server %s: %w", c.cfg.ControlHost, err)
		}
		addr = addrs[0]
	}
	return controlAddr("ClientConfig", addr, c.cfg.Group, c.cfg.Interface)
}
