package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name: it lasts while fd is open
// or a process or socket is in it.
type namespace struct {
	fd    int
	links *netlink.Handle // sockets inside it
}

// newNamespace makes a namespace in which lo is up and nothing sends by itself.
func newNamespace() (*namespace, error) {
	ns := &namespace{fd: -1}
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		var err error
		if ns.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open network namespace: %w", err)
		}
		if ns.links, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return fmt.Errorf("open netlink: %w", err)
		}
		if err := silence(); err != nil {
			return err
		}
		lo, err := ns.links.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find lo: %w", err)
		}
		if err := ns.links.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set lo up: %w", err)
		}
		return nil
	})
	if err != nil {
		ns.close()
		return nil, err
	}
	return ns, nil
}

// silence keeps the current thread's namespace from sending by itself.
func silence() error {
	for _, setting := range []struct{ name, value string }{
		{"ipv6/conf/all/disable_ipv6", "1"},
		{"ipv6/conf/default/disable_ipv6", "1"},
		// A snooping bridge joins 224.0.0.106 (RFC 4286) and reports it.
		{"ipv4/igmp_link_local_mcast_reports", "0"},
		// What the machine's firewall says of routed packets is not the switch's.
		{"bridge/bridge-nf-call-iptables", "0"},
		{"bridge/bridge-nf-call-ip6tables", "0"},
	} {
		err := os.WriteFile("/proc/sys/net/"+setting.name, []byte(setting.value), 0)
		switch {
		case err == nil || errors.Is(err, os.ErrNotExist): // a kernel without IPv6, or br_netfilter not loaded
		case isRefusal(err) || errors.Is(err, unix.EROFS): // in a container
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		default:
			return err
		}
	}
	return nil
}

// do runs f inside the namespace and returns its error.
func (ns *namespace) do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(ns.fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

func (ns *namespace) close() {
	if ns.links != nil {
		ns.links.Close()
	}
	if ns.fd >= 0 {
		unix.Close(ns.fd)
		ns.fd = -1 // the number may soon be another file's
	}
}

// onOwnThread runs f on an OS thread that ends with it, so that no other
// goroutine ever runs in a namespace that f has entered.
func onOwnThread(f func() error) error {
	err := errors.New("lab: the function ended its goroutine instead of returning")
	done := make(chan struct{}) // closed by the goroutine below
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The runtime parks the process's first thread instead of ending
			// it. While this goroutine holds it, the next one gets another.
			err = onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		err = f()
	}()
	<-done
	return err
}
