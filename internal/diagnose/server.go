package diagnose

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"multiserver/internal/format"
	"multiserver/internal/image"
	"multiserver/internal/mxb1"
	"multiserver/internal/netcheck"
	"multiserver/internal/packed"
	"multiserver/internal/target"
	"multiserver/internal/udp"
)

// Server is the configuration of a server, its defaults filled in.
type Server struct {
	File           string // "" if none is named
	Group          netip.Addr
	DataGroup      netip.Addr // not valid if it is the image's own
	Port           uint16
	ControlHost    netip.Addr
	ControlPort    uint16
	Interface      string
	TTL            int
	RateBitsPerSec uint64
	Delay          time.Duration
	MTU            int
}

// Check checks what a server needs. It sends nothing and ends within 10 s.
func (cfg Server) Check(ctx context.Context, tell func(Finding)) error {
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	k := serverChecker{checker{tell, "ServerConfig"}, cfg}
	if cfg.File != "" {
		k.file()
	}
	k.ok("protection", "accidents, and hosts that do not forge addresses; nothing is encrypted or signed: serve in a network whose hosts you trust")
	if interfaces := k.network(cfg.Interface, cfg.Group); interfaces != nil {
		querier := k.listenForQuerier(limited, interfaces, cfg.Group)
		k.control(interfaces)
		for _, each := range interfaces {
			k.sending(each)
		}
		k.all(netcheck.Firewall(append(k.packets(interfaces), membershipPackets(cfg.Group)...)))
		querier()
	}
	return ctx.Err()
}

type serverChecker struct {
	checker
	cfg Server
}

// WrittenMeanwhile follows what target.MountedAt says of an image.
const WrittenMeanwhile = ": what is written there while the image is served ends all clients with an error, or reaches them as a file system that was never whole; unmount it, or remount it read-only"

// file checks that the image can be served.
func (k serverChecker) file() {
	source, err := packed.OpenSource(k.cfg.File)
	if err != nil {
		k.wrong("file", "give a file or a block device that can be read", "%v", err)
		return
	}
	defer source.Close()
	if err := mxb1.CheckImageSize(source.Size()); err != nil {
		k.wrong("file", "give another", "%s: %v", source, err)
		return
	}
	if _, err := source.ReadAt(make([]byte, min(source.Size(), mxb1.BlockSize)), 0); err != nil {
		k.wrong("file", "look at the disk that it is on", "%v", err)
		return
	}
	k.ok("file", "%s can be read, %d bytes", source, source.Size())
	if of, err := image.FormatOf(source); err == nil {
		if text, advice := format.Caution(of, source.Size()); text != "" {
			k.note("file", advice, "%s %s", source, text)
		}
	}
	if where := target.MountedAt(k.cfg.File); where != "" {
		k.note("file", "", "%s", where+WrittenMeanwhile)
	}
}

// control checks that the control port is free.
func (k serverChecker) control(interfaces []udp.Interface) {
	conn, err := udp.Listen(udp.ConnConfig{
		Addr:       netip.AddrPortFrom(k.cfg.ControlHost, k.cfg.ControlPort),
		Group:      k.cfg.Group,
		Interfaces: interfaces,
		TTL:        k.cfg.TTL,
	})
	if err != nil {
		k.wrong("control", "end what has the port, or take another one on both sides: ServerConfig.ControlPort and ClientConfig.ControlPort", "%v", err)
		return
	}
	defer conn.Close()
	k.ok("control", "UDP port %d is free", k.cfg.ControlPort)
	for _, warning := range conn.Warnings() {
		k.note("control", "", "%v", warning)
	}
}

// sending checks what limits the rate on an interface, and the size of packets.
func (k serverChecker) sending(i udp.Interface) {
	queue := netcheck.Queue(i.Index)
	speed, _ := netcheck.Speed(i.Name)
	switch rate := k.cfg.RateBitsPerSec; {
	case rate > 0 && speed > 0 && rate > speed:
		k.note("pace", "take less, or leave it out", "ServerConfig.RateBitsPerSec is %s, and %s has %s", rateText(float64(rate)), i.Name, rateText(float64(speed)))
	case rate > 0:
		k.ok("pace", "%s, by ServerConfig.RateBitsPerSec", rateText(float64(rate)))
	case k.cfg.Delay > 0:
		k.ok("pace", "%s after each packet, by ServerConfig.Delay", k.cfg.Delay)
	case queue == "noqueue":
		k.note("pace", "give a ServerConfig.RateBitsPerSec", "%s has no queue: nothing but this machine's speed bounds the stream", i.Name)
	case queue != "":
		k.ok("pace", "the queue of %s (%s) sets it", i.Name, queue)
	}
	if k.cfg.MTU > i.MTU {
		k.note("MTU", fmt.Sprintf("ip link set %s mtu %d, if all that is in between takes that", i.Name, k.cfg.MTU), "ServerConfig.MTU is %d, and %s has %d: that is what packets fill", k.cfg.MTU, i.Name, i.MTU)
	}
}

// packets are a server's packets, on each interface.
func (k serverChecker) packets(interfaces []udp.Interface) (packets []netcheck.Packet) {
	stream := netip.AddrPortFrom(k.cfg.Group, k.cfg.Port)
	if k.cfg.DataGroup.IsValid() {
		stream = netip.AddrPortFrom(k.cfg.DataGroup, k.cfg.Port)
	}
	for _, each := range interfaces {
		p := netcheck.Packet{Protocol: netcheck.UDP}
		p.Name, p.Rule = "clients' questions", fmt.Sprintf("udp dport %d", k.cfg.ControlPort)
		for _, to := range []netip.Addr{k.cfg.Group, ownAddr(each, k.cfg.Group)} {
			p.To = netip.AddrPortFrom(to, k.cfg.ControlPort)
			packets = append(packets, p)
		}
		p.Name, p.Out, p.Rule = "the stream", true, fmt.Sprintf("udp dport %d", k.cfg.Port)
		p.From, p.To = netip.AddrPortFrom(ownAddr(each, k.cfg.Group), k.cfg.ControlPort), stream
		packets = append(packets, p)
	}
	return packets
}
