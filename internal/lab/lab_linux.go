package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// maxHosts is what a /24 has room for.
const maxHosts = 254

// Config describes a lab. Its zero is two hosts joined by a perfect network of
// MTU 1500.
type Config struct {
	Hosts int // 2 if 0; 254 at most
	MTU   int // bytes, of all links; 1500 if 0

	// UplinkBitsPerSec is the line rate of every host's interface, as
	// ShapeUplink takes it; 0 is as fast as the machine.
	UplinkBitsPerSec int64
	// LossPercent is the share of packets lost towards every host, each host
	// for itself, as SetLoss takes it.
	LossPercent float64

	// SegmentOffload lets UDP super-packets cross the network whole: much
	// cheaper, but they are also counted, queued and lost whole. Without it
	// the sending host's interface cuts them into packets.
	SegmentOffload bool
	// ReceiveOffload lets the hosts' interfaces join packets of one flow to
	// super-packets on arrival, as GRO in a NIC's driver does, for sockets that
	// ask for it. Packets are still lost one by one. With several receivers at
	// 1 Gbit/s it takes a fraction of the CPU.
	ReceiveOffload bool
}

func (c *Config) validate() error {
	if c.Hosts == 0 {
		c.Hosts = 2
	}
	if c.MTU == 0 {
		c.MTU = 1500
	}
	switch {
	case c.Hosts < 1 || c.Hosts > maxHosts:
		return fmt.Errorf("config: Hosts is %d, not within 1 to %d", c.Hosts, maxHosts)
	case c.MTU < 68 || c.MTU > 65535: // RFC 791; veth's limit
		return fmt.Errorf("config: MTU is %d, not within 68 to 65535", c.MTU)
	case c.UplinkBitsPerSec < 0:
		return fmt.Errorf("config: UplinkBitsPerSec is %d", c.UplinkBitsPerSec)
	case c.LossPercent < 0 || c.LossPercent > 100:
		return fmt.Errorf("config: LossPercent is %g, not within 0 to 100", c.LossPercent)
	}
	return nil
}

// Lab is a network of hosts. Its methods may be called from several
// goroutines.
type Lab struct {
	Hosts []*Host

	config  Config
	bridges *namespace // the switch

	mu       sync.Mutex
	networks []*Network
	commands []*Cmd // started, for Close
}

// New builds a lab, which the caller must close. The error is ErrUnavailable
// where namespaces are not allowed or the kernel lacks what a lab is made of.
func New(config Config) (*Lab, error) {
	if errNotEntered != nil {
		return nil, errNotEntered
	}
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l := &Lab{config: config}
	if err := l.build(); err != nil {
		err = errors.Join(fmt.Errorf("lab: %w", err), l.Close())
		if errors.Is(err, unix.EOPNOTSUPP) { // a kernel without veth or bridge
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil, err
	}
	return l, nil
}

// NewTest builds a lab that is closed when the test ends. It skips the test
// on ErrUnavailable and fails it on any other error.
func NewTest(t testing.TB, config Config) *Lab {
	t.Helper()
	l, err := New(config)
	if errors.Is(err, ErrUnavailable) {
		t.Skip("needs root or user namespaces:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *Lab) build() (err error) {
	if l.bridges, err = newNamespace(); err != nil {
		return err
	}
	for i := range l.config.Hosts {
		ns, err := newNamespace()
		if err != nil {
			return err
		}
		l.Hosts = append(l.Hosts, &Host{Number: i, lab: l, namespace: ns})
	}
	network, err := l.AddNetwork(l.Hosts...)
	if err != nil {
		return err
	}
	for i, h := range l.Hosts {
		h.Interface = network.Interfaces[i]
		if err := h.ShapeUplink(l.config.UplinkBitsPerSec); err != nil {
			return err
		}
		if err := h.SetLoss(l.config.LossPercent); err != nil {
			return err
		}
	}
	return nil
}

// AddNetwork joins hosts by a further bridge, with which nothing else has to
// do: the n-th network's interface of host i has address 10.(77+n).0.(i+1)/24
// and the next free name, eth1 for the second. A network of one host gives it
// an interface that is up, can multicast and leads nowhere.
func (l *Lab) AddNetwork(hosts ...*Host) (*Network, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	number := len(l.networks)
	if number > 255-77 {
		return nil, fmt.Errorf("lab: no addresses for a network %d", number)
	}
	n := &Network{lab: l, name: fmt.Sprintf("br%d", number)}
	l.networks = append(l.networks, n)
	if err := n.addBridge(); err != nil {
		return nil, err
	}
	for _, h := range hosts {
		address := netip.AddrFrom4([4]byte{10, byte(77 + number), 0, byte(h.Number + 1)})
		i := &Interface{
			Name:    fmt.Sprintf("eth%d", h.interfaces),
			Address: netip.PrefixFrom(address, 24),
			host:    h,
			port:    fmt.Sprintf("net%dhost%d", number, h.Number),
		}
		if err := n.addInterface(i); err != nil {
			return nil, fmt.Errorf("add %s of host %d: %w", i.Name, h.Number, err)
		}
		h.interfaces++
		n.Interfaces = append(n.Interfaces, i)
	}
	return n, nil
}

// Close kills the commands that still run and removes all links and
// namespaces.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.commands {
		// Both fail where the command has ended by itself.
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	l.commands = nil

	// A namespace goes some time after its last user; its links go at once if
	// they are told to.
	var errs []error
	for _, n := range l.networks {
		for _, i := range n.Interfaces {
			if err := l.bridges.deleteLink(i.port); err != nil {
				errs = append(errs, err)
			}
		}
	}
	l.networks = nil
	for _, h := range l.Hosts {
		h.namespace.close()
	}
	l.Hosts = nil
	if l.bridges != nil {
		l.bridges.close()
		l.bridges = nil
	}
	return errors.Join(errs...)
}

func (ns *namespace) deleteLink(name string) error {
	link, err := ns.links.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if err := ns.links.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}
