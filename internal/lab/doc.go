// Package lab is a small network inside one Linux machine, for tests and
// benchmarks: every host is a network namespace, and a further namespace with
// a bridge is the switch that joins them.
//
// A program calls Enter first, or a test package Main from its TestMain. That
// runs the program again inside fresh namespaces, as root or, where user
// namespaces are allowed, as an ordinary user. Whatever happens then, kill -9
// included, nothing of the lab outlives the program. Then:
//
//	func TestMain(m *testing.M) { lab.Main(m) }
//
//	func TestTransfer(t *testing.T) {
//		l := lab.NewTest(t, lab.Config{Hosts: 3})
//		l.Hosts[1].SetLoss(5)
//		server := l.Hosts[0].Command(t.Context(), programs.Server, "-f", image)
//		…
//	}
//
// The embedded Interface of a host is its eth0, with address 10.77.0.(i+1)/24
// for host i. IPv6 is off until Lab.EnableIPv6, so that an idle link carries nothing
// and its counters tell the sum of what the programs sent.
//
// The lab speaks netlink itself: no program such as ip, tc or nft is needed.
// There is none on other systems than Linux; only the helpers for files and
// for building programs are.
package lab
