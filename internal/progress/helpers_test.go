package progress

import (
	"net/netip"
	"time"

	"multiserver"
)

// The samples that the tests of this package print.
var (
	finding = multiserver.ClientStats{
		Output: "/dev/sda", Interface: "eth0, wlan0", Elapsed: 15 * time.Second,
	}
	receiving = multiserver.ClientStats{
		Phase: multiserver.PhaseReceiving, Name: "debian.img", Output: "/dev/sda",
		SizeBytes: 4 << 30, Server: netip.MustParseAddrPort("10.0.0.1:7500"), Protocol: "mxb1", Interface: "eth0",
		Elapsed: 6 * time.Second, Streaming: 5 * time.Second, BytesDone: 587_000_000,
	}
	done = multiserver.ClientStats{
		Phase: multiserver.PhaseDone, Name: "debian.img", Output: "/dev/sda",
		SizeBytes: 4 << 30, Server: netip.MustParseAddrPort("10.0.0.1:7500"), Protocol: "mxb1", Interface: "eth0",
		Elapsed: 38100 * time.Millisecond, Streaming: 36600 * time.Millisecond, BytesDone: 4 << 30,
		PacketsReceived: 4194310, Duplicates: 6,
	}
	serving = multiserver.ServerStats{
		Name: "debian.img", SizeBytes: 4 << 30,
		Group: netip.MustParseAddrPort("225.0.20.10:16000"), Control: netip.MustParseAddrPort("0.0.0.0:7500"),
	}
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// with returns a changed copy.
func with[T any](t T, change func(*T)) T {
	change(&t)
	return t
}

func visit(addr string, first, last time.Time, requests, asked uint64) multiserver.ServedClient {
	return multiserver.ServedClient{
		Addr: netip.MustParseAddrPort(addr), FirstSeen: first, LastSeen: last, Requests: requests, AskedBytes: asked,
	}
}

// member is a client of MXB 2 that has nothing yet.
func member(name, addr string) multiserver.Receiver {
	return multiserver.Receiver{Name: name, Addr: netip.MustParseAddrPort(addr), FirstSeen: noon, LastSeen: noon}
}

// gone is one that ended when it had half of serving's image.
func gone(name, addr string, outcome multiserver.Outcome, reason string) multiserver.Receiver {
	return with(member(name, addr), func(r *multiserver.Receiver) {
		r.LastSeen, r.BytesDone = noon.Add(9*time.Second), 2<<30
		r.Received, r.LostOnWire, r.Dropped, r.Limit = 985, 10, 5, "disk"
		r.Outcome, r.Reason = outcome, reason
	})
}
