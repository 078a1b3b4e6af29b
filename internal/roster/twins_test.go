package roster

import (
	"net/netip"
	"slices"
	"testing"

	"multiserver/internal/wire"
)

// TestTwins: an address is that of two machines only if they are heard beside each other on one
// link, and only by what they say of themselves.
func TestTwins(t *testing.T) {
	addr, other := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8")
	type client struct {
		machine uint64
		source  netip.Addr // by its own knowledge
		link    int
	}
	type packet struct {
		second int
		id     wire.ReceiverID // 1 or 2
		from   netip.Addr
		done   bool
	}
	first := client{machine: 100, source: addr, link: 2}
	second := client{machine: 200, source: addr, link: 2}
	beside := []packet{{0, 1, addr, false}, {1, 2, addr, false}, {2, 1, addr, false}, {3, 2, addr, false}}
	for _, c := range []struct {
		name    string
		second  client
		packets []packet
		want    bool
	}{
		{"two machines", second, beside, true},
		{"the second came long after", second, []packet{{0, 1, addr, false}, {500, 2, addr, false}, {501, 1, addr, false}}, true},
		{"two programs on one machine", client{100, addr, 2}, beside, false},
		{"a program of the first version", client{0, addr, 2}, beside, false},
		{"behind a router that translates", client{200, netip.MustParseAddr("192.168.1.7"), 2}, beside, false},
		{"its address is unknown", client{200, netip.Addr{}, 2}, beside, false},
		{"on another link", client{200, addr, 3}, beside, false},
		{"started again", second, []packet{{0, 1, addr, false}, {5, 1, addr, false}, {6, 2, addr, false}, {9, 2, addr, false}}, false},
		{"a late packet of the one before", second, []packet{{5, 1, addr, false}, {6, 2, addr, false}, {6, 1, addr, false}, {9, 2, addr, false}}, false},
		{"the first is done", second, []packet{{0, 1, addr, false}, {1, 2, addr, false}, {1, 1, addr, true}, {8, 1, addr, true}, {9, 2, addr, false}}, false},
		{"the second takes over a lease", second, []packet{{0, 2, other, false}, {5, 1, addr, false}, {6, 2, addr, false}, {9, 2, addr, false}}, false},
		{"the first moves away", second, []packet{{0, 1, addr, false}, {1, 1, other, false}, {2, 2, addr, false}, {4, 1, other, false}, {5, 2, addr, false}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := New(geometry)
			for _, p := range c.packets {
				name, of := "pc07", first
				if p.id == 2 {
					name, of = "pc08", c.second
				}
				source := of.source
				if p.from == other {
					source = other
				}
				from := netip.AddrPortFrom(p.from, 4000+uint16(p.id))
				table.Offer(p.id, name)
				table.OfferMachine(wire.Offer{Receiver: p.id, Machine: of.machine, Source: source}, p.from, of.link)
				if p.done {
					table.Goodbye(seconds(p.second), wire.Goodbye{Receiver: p.id, Outcome: wire.OutcomeDone}, from)
				} else {
					table.RecordPacket(seconds(p.second), p.id, from)
				}
			}
			found := table.Twins(nil)
			if !c.want {
				if len(found) > 0 || slices.ContainsFunc(table.Rows(), func(r Row) bool { return r.SharesAddress }) {
					t.Errorf("found %+v", found)
				}
				return
			}
			if len(found) != 2 || found[0].Name == found[1].Name || found[0].Name != found[1].OtherName ||
				found[0].Addr.Addr() != addr || found[0].Link != 2 || !found[0].New || found[1].New || found[0].Receiver+found[1].Receiver != 3 {
				t.Errorf("found %+v", found)
			}
			for id, want := range map[wire.ReceiverID]string{1: "pc08", 2: "pc07"} {
				if name, ok := table.TwinOf(id); !ok || name != want {
					t.Errorf("the twin of %d is %q, %v", id, name, ok)
				}
			}
			table.RecordPacket(seconds(600), 1, netip.AddrPortFrom(addr, 4001))
			if again := table.Twins(nil); len(again) != 2 || again[0].New || again[1].New {
				t.Errorf("found again: %+v", again)
			}
			table.Goodbye(seconds(600), wire.Goodbye{Receiver: 2, Outcome: wire.OutcomeDone}, netip.AddrPortFrom(addr, 4002))
			if again := table.Twins(nil); len(again) != 1 || again[0].Receiver != 1 {
				t.Errorf("when the second is done: %+v", again)
			}
			table.RecordPacket(seconds(601), 1, netip.AddrPortFrom(other, 4001))
			if _, ok := table.TwinOf(1); ok {
				t.Error("with another address it still has a twin")
			}
		})
	}
}

// TestTwinsAreBounded: what offers are kept of is bounded, and loopback has no twins.
func TestTwinsAreBounded(t *testing.T) {
	table := New(geometry)
	addr := netip.MustParseAddr("10.0.0.7")
	for n := range 3 * MaxRows {
		table.OfferMachine(wire.Offer{Receiver: wire.ReceiverID(n + 1), Machine: 1, Source: addr}, addr, 1)
	}
	if n := len(table.twins.machines); n > MaxRows {
		t.Errorf("%d offers are kept", n)
	}
	loopback := netip.MustParseAddrPort("127.0.0.1:4000")
	for n := range 8 {
		id := wire.ReceiverID(1 + n%2)
		table.OfferMachine(wire.Offer{Receiver: id, Machine: uint64(id), Source: loopback.Addr()}, loopback.Addr(), 1)
		table.RecordPacket(seconds(n), id, loopback)
	}
	if found := table.Twins(nil); len(found) > 0 {
		t.Errorf("on loopback it found %+v", found)
	}
}
