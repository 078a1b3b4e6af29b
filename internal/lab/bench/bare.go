//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
	"multiserver/internal/udp"
)

// The bare loop is the limit of the lab: one unchanging buffer into the interface's
// queue, and receivers that count. It repairs nothing.
const (
	barePacketBytes = 1472 // fills an MTU of 1500
	barePackets     = 44   // fill a super-packet
	bareControlPort = 16003
	helloInterval   = 10 * time.Millisecond
)

var bareGroup = netip.MustParseAddrPort("225.0.20.11:16002")

// bareSystem is a loop that hands the kernel so many packets at once.
func bareSystem(name string, packets int) system {
	role := func(j *job, h *lab.Host, name string, arguments ...string) *lab.Cmd {
		c := h.Command(j.ctx, "/proc/self/exe", arguments...)
		c.Env = append(os.Environ(), roleVariable+"="+name)
		return c
	}
	return system{
		name: name,
		server: func(j *job) *lab.Cmd {
			return role(j, j.lab.Hosts[0], "send",
				strconv.FormatInt(j.sizeBytes, 10), strconv.Itoa(packets), strconv.Itoa(len(j.clients())))
		},
		client: func(j *job, n int) *lab.Cmd {
			return role(j, j.clients()[n], "receive", j.lab.Hosts[0].Address.Addr().String())
		},
		check: func(j *job, _ int, output []byte) error {
			got, err := strconv.ParseInt(strings.TrimSpace(string(output)), 10, 64)
			if least := float64(j.sizeBytes) * (1 - 2*j.lossPercent/100); err == nil && float64(got) < least {
				err = fmt.Errorf("only %d of %d bytes came: this is no limit", got, j.sizeBytes)
			}
			return err
		},
		note: fmt.Sprintf("UDP GSO of %d × %d bytes from one buffer through a blocking socket, UDP_GRO and recvmmsg at receivers that only count; no repair", packets, barePacketBytes),
	}
}

// play is an end of the bare loop, or makes root images.
func play(role string, arguments []string) error {
	switch {
	case role == rootRole && len(arguments) == 1:
		return playRoot(arguments[0])
	case role == "send" && len(arguments) == 3:
		sizeBytes, err1 := strconv.ParseInt(arguments[0], 10, 64)
		packets, err2 := strconv.Atoi(arguments[1])
		receivers, err3 := strconv.Atoi(arguments[2])
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		return send(sizeBytes, packets, receivers)
	case role == "receive" && len(arguments) == 1:
		server, err := netip.ParseAddr(arguments[0])
		if err != nil {
			return err
		}
		return receive(server)
	}
	return fmt.Errorf("no role %s %q", role, arguments)
}

// send awaits a hello of each receiver, sends, and then reports that this was the end
// until it is killed.
func send(sizeBytes int64, packets, receivers int) error {
	control, err := udp.Listen(udp.ConnConfig{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), bareControlPort)})
	if err != nil {
		return err
	}
	heard := map[netip.AddrPort]bool{}
	for hello := make([]byte, 16); len(heard) < receivers; {
		_, from, _, err := control.ReadFrom(hello)
		if err != nil {
			return err
		}
		heard[from] = true
	}

	eth0, err := udp.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(eth0.Index)}); err != nil {
		return os.NewSyscallError("setsockopt IP_MULTICAST_IF", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT, barePacketBytes); err != nil {
		return os.NewSyscallError("setsockopt UDP_SEGMENT", err)
	}
	to := &unix.SockaddrInet4{Addr: bareGroup.Addr().As4(), Port: int(bareGroup.Port())}
	buffer := make([]byte, packets*barePacketBytes)
	for left := sizeBytes; left > 0; {
		n := min(left, int64(len(buffer)))
		if err := unix.Sendto(fd, buffer[:n], 0, to); err != nil {
			return os.NewSyscallError("sendto", err)
		}
		left -= n
	}
	for {
		if err := unix.Sendto(fd, buffer[:1], 0, to); err != nil {
			return os.NewSyscallError("sendto", err)
		}
		time.Sleep(helloInterval)
	}
}

// receive says hello to the server until data comes, and prints how many bytes came
// before the end.
func receive(server netip.Addr) error {
	eth0, err := udp.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	stream, err := udp.ListenGroup(udp.ReceiverConfig{Group: bareGroup, Interfaces: []udp.Interface{eth0}})
	if err != nil {
		return err
	}
	control, err := udp.Listen(udp.ConnConfig{})
	if err != nil {
		return err
	}
	batch := udp.NewBatch()
	for got := int64(0); ; {
		if got == 0 {
			if err := control.WriteTo([]byte("hello"), netip.AddrPortFrom(server, bareControlPort), eth0.Index); err != nil {
				return err
			}
			stream.SetReadDeadline(time.Now().Add(helloInterval))
		}
		if err := stream.Receive(batch); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		for _, d := range batch.Datagrams() {
			if len(d.Payload) == 1 {
				fmt.Println(got)
				return nil
			}
			if got == 0 {
				stream.SetReadDeadline(time.Time{})
			}
			got += int64(len(d.Payload))
		}
	}
}
