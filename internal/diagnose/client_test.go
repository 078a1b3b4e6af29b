package diagnose

import (
	"cmp"
	"net/netip"
	"strings"
	"testing"
	"time"

	"multiserver/internal/discover"
	"multiserver/internal/probe"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// TestTrainFindings: what is told of the trains that arrived.
func TestTrainFindings(t *testing.T) {
	const session, other = wire.SessionID(7), wire.SessionID(8)
	type train struct{ small, first, burst int } // packets that arrive
	for _, c := range []struct {
		name    string
		mtu     int // 0: 1500
		trains  []train
		between time.Duration // two packets
		symbols int
		others  int
		drops   uint64
		want    []string // all lines, or their beginnings
	}{
		{"nothing", 0, nil, 0, 0, 0, 0, []string{"WRONG group: 239.192.1.1:16000 does not arrive on eth0, although the server answers: a firewall here (UDP port 16000, IGMP)"}},
		{"all", 0, []train{{1, 32, 96}, {1, 32, 96}}, 0, 0, 0, 0, []string{
			"ok    group: 239.192.1.1:16000 arrives on eth0", "ok    MTU: packets of 1500 bytes arrive", "ok    loss: none of 258 packets lost", "ok    rate: at least 1 Gbit/s"}},
		{"all of 9000", 9000, []train{{1, 8, 15}, {1, 8, 15}, {1, 8, 15}}, 0, 0, 0, 0, []string{
			"ok    group", "ok    MTU: packets of 9000 bytes arrive", "ok    loss: none of 72 packets lost", "ok    rate"}},
		{"loss of 9000", 9000, []train{{1, 8, 15}, {1, 8, 9}}, 0, 0, 0, 0, []string{
			"ok    group", "ok    MTU", "note  loss: 6 of 48 packets lost (12.5%)", "ok    rate"}},
		{"a server with a rate, 9000", 9000, []train{{1, 8, 0}}, 0, 0, 0, 0, []string{"ok    group", "ok    MTU", "ok    loss: none of 9"}},
		{"a train is lost", 0, []train{{1, 32, 96}}, 0, 0, 0, 0, []string{"ok    group", "ok    MTU", "ok    loss: none of 129", "ok    rate"}},
		{"through 100 Mbit/s", 0, []train{{1, 32, 96}}, 123040 * time.Nanosecond, 0, 0, 0, []string{"ok    group", "ok    MTU", "ok    loss", "ok    rate: about 100 Mbit/s"}},
		{"small ones only", 0, []train{{1, 0, 0}, {1, 0, 0}}, 0, 0, 0, 0, []string{"ok    group",
			"WRONG MTU: packets of 1500 bytes do not arrive, while small ones do: start the server without ServerConfig.MTU, or raise the MTU of the path: eth0 has 1500"}},
		{"a server with a rate", 0, []train{{1, 8, 0}, {1, 7, 0}}, 0, 0, 0, 0, []string{"ok    group", "ok    MTU", "note  loss: 1 of 18 packets lost (5.6%): it is repaired"}},
		{"loss", 0, []train{{1, 32, 66}}, 0, 0, 0, 0, []string{"ok    group", "ok    MTU", "note  loss: 30 of 129 packets lost (23.3%): it is repaired", "ok    rate"}},
		{"loss here", 0, []train{{1, 32, 66}}, 0, 0, 0, 30, []string{"ok    group", "ok    MTU", "note  loss: 30 of 129 packets lost (23.3%): this host dropped some itself", "ok    rate"}},
		{"a stream, no train", 0, nil, 0, 100, 0, 0, []string{"ok    group", "ok    MTU", "ok    stream: it is running, at 1.23 Mbit/s"}},
		{"another session", 0, []train{{1, 32, 96}}, 0, 0, 3, 0, []string{"ok    group", "note  group: 3 packets in it are of another session: give each server a ServerConfig.DataGroup", "ok    MTU", "ok    loss", "ok    rate"}},
		{"another session only", 0, nil, 0, 0, 3, 0, []string{"WRONG group"}},
	} {
		size := cmp.Or(c.mtu, 1500) - 28
		symbolSize := uint16(size - wire.SymbolHeaderSize)
		l := trainListener{
			began: time.Unix(1, 0),
			found: discover.Offer{Session: &wire.Description{Session: session, SymbolSize: symbolSize, Data: netip.MustParseAddrPort("239.192.1.1:16000")}},
			took:  time.Second,
			drops: c.drops,
		}
		now := time.Unix(1, 0)
		for n, heard := range c.trains {
			for step, count := range []int{heard.small, heard.first, heard.burst} {
				q := wire.Probe{Session: session, Train: uint32(n + 1), Step: uint16(step), Size: uint16(size)}
				if step == probe.StepSmall {
					q.Size = probe.SmallBytes
				}
				for q.Index = range uint32(count) {
					now = now.Add(c.between)
					packet := q.AppendTo(nil)
					l.handle(now, packet)
					l.handle(now, packet) // doubled, which counts once
				}
			}
		}
		symbol := wire.Symbol{Session: session, K: 727, Data: make([]byte, 1444)}.AppendTo(nil)
		for range c.symbols {
			l.handle(now, symbol)
		}
		for range c.others {
			l.handle(now, wire.Probe{Session: other, Train: 1, Size: probe.SmallBytes}.AppendTo(nil))
		}
		l.handle(now, []byte("nothing of ours"))

		got := l.findings(udp.Interface{Name: "eth0", MTU: 1500})
		if len(got) != len(c.want) {
			t.Errorf("%s: %d findings, want %d: %v", c.name, len(got), len(c.want), got)
			continue
		}
		for n, want := range c.want {
			if !strings.HasPrefix(got[n].String(), want) {
				t.Errorf("%s: %q, want %q", c.name, got[n], want)
			}
		}
	}
}
