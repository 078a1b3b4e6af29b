package multiserver

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"multiserver/internal/probe"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// TestTrainFindings: what is told of the trains that arrived.
func TestTrainFindings(t *testing.T) {
	const session, other = wire.SessionID(7), wire.SessionID(8)
	const size = 1444 + wire.SymbolHeaderSize
	type train struct{ small, first, burst int } // packets that arrive
	for _, c := range []struct {
		name    string
		trains  []train
		between time.Duration // two packets
		symbols int
		others  int
		drops   uint64
		want    []string // all lines, or their beginnings
	}{
		{"nothing", nil, 0, 0, 0, 0, []string{"WRONG group: 239.192.1.1:16000 does not arrive on eth0, although the server answers: a firewall here (UDP port 16000, IGMP)"}},
		{"all", []train{{1, 32, 96}, {1, 32, 96}}, 0, 0, 0, 0, []string{
			"ok    group: 239.192.1.1:16000 arrives on eth0", "ok    MTU: packets of 1500 bytes arrive", "ok    loss: none of 258 packets lost", "ok    rate: at least 1 Gbit/s"}},
		{"a train is lost", []train{{1, 32, 96}}, 0, 0, 0, 0, []string{"ok    group", "ok    MTU", "ok    loss: none of 129", "ok    rate"}},
		{"through 100 Mbit/s", []train{{1, 32, 96}}, 123040 * time.Nanosecond, 0, 0, 0, []string{"ok    group", "ok    MTU", "ok    loss", "ok    rate: about 100 Mbit/s"}},
		{"small ones only", []train{{1, 0, 0}, {1, 0, 0}}, 0, 0, 0, 0, []string{"ok    group",
			"WRONG MTU: packets of 1500 bytes do not arrive, while small ones do: start the server without --mtu, or raise the MTU of the path: eth0 has 1500"}},
		{"a server with a rate", []train{{1, 8, 0}, {1, 7, 0}}, 0, 0, 0, 0, []string{"ok    group", "ok    MTU", "note  loss: 1 of 18 packets lost (5.6%): it is repaired"}},
		{"loss", []train{{1, 32, 66}}, 0, 0, 0, 0, []string{"ok    group", "ok    MTU", "note  loss: 30 of 129 packets lost (23.3%): it is repaired", "ok    rate"}},
		{"loss here", []train{{1, 32, 66}}, 0, 0, 0, 30, []string{"ok    group", "ok    MTU", "note  loss: 30 of 129 packets lost (23.3%): this host dropped some itself", "ok    rate"}},
		{"a stream, no train", nil, 0, 100, 0, 0, []string{"ok    group", "ok    MTU", "ok    stream: it is running, at 1.23 Mbit/s"}},
		{"another session", []train{{1, 32, 96}}, 0, 0, 3, 0, []string{"ok    group", "note  group: 3 packets in it are of another session: give each server a --data-group", "ok    MTU", "ok    loss", "ok    rate"}},
		{"another session only", nil, 0, 0, 3, 0, []string{"WRONG group"}},
	} {
		l := trainListener{
			found: found{session: &wire.Description{Session: session, SymbolSize: 1444, Data: netip.MustParseAddrPort("239.192.1.1:16000")}},
			took:  time.Second,
			drops: c.drops,
		}
		now := time.Unix(1, 0)
		for n, heard := range c.trains {
			for step, count := range []int{heard.small, heard.first, heard.burst} {
				q := wire.Probe{Session: session, Train: uint32(n + 1), Step: uint16(step), Size: size}
				if step == probe.StepSmall {
					q.Size = probe.SmallBytes
				}
				for q.Index = range uint32(count) {
					now = now.Add(c.between)
					packet := q.AppendTo(nil)
					l.take(now, packet)
					l.take(now, packet) // doubled, which counts once
				}
			}
		}
		symbol := wire.Symbol{Session: session, K: 727, Data: make([]byte, 1444)}.AppendTo(nil)
		for range c.symbols {
			l.take(now, symbol)
		}
		for range c.others {
			l.take(now, wire.Probe{Session: other, Train: 1, Size: probe.SmallBytes}.AppendTo(nil))
		}
		l.take(now, []byte("nothing of ours"))

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

// TestCheckConfig: a configuration that no program would begin with is no finding.
func TestCheckConfig(t *testing.T) {
	tell := func(f Finding) { t.Errorf("told %v", f) }
	if err := CheckClient(t.Context(), ClientConfig{QuietTime: -1}, tell); !errors.Is(err, ErrConfig) {
		t.Errorf("client: %v", err)
	}
	if err := CheckServer(t.Context(), ServerConfig{MTU: 1}, tell); !errors.Is(err, ErrConfig) {
		t.Errorf("server: %v", err)
	}
}
