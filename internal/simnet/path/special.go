package path

import (
	"time"

	"multiserver/internal/simnet"
)

// Special is what can befall a stream besides: issue 12's list.
func Special() []Cell {
	const mbit = 1e6
	half, second := 50*time.Millisecond, time.Second
	bottleneck := func(rate float64, queue time.Duration) []simnet.Bottleneck {
		return []simnet.Bottleneck{{Rate: constant(rate), Queue: queue, Packets: 8}}
	}
	changing := func(before, after float64) []simnet.Bottleneck {
		return []simnet.Bottleneck{{Queue: half, Packets: 8, Rate: func(at time.Duration) float64 {
			if at < 8*time.Second {
				return before
			}
			return after
		}}}
	}
	free := []simnet.Bottleneck{{}}
	disk := func(d time.Duration) func(time.Duration) time.Duration {
		return func(time.Duration) time.Duration { return d }
	}
	stalling := func(at time.Duration) time.Duration {
		if at >= 5*time.Second && at < 10*time.Second {
			return 10*time.Second - at
		}
		return 5 * time.Millisecond
	}
	// socket holds 4 MB.
	const socket = 2700
	cells := []Cell{
		{Name: "the service rate halves", Capacity: 50 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.4,
			Config: Config{Blocks: image(20, 50*mbit), Groups: changing(50*mbit, 25*mbit), Receivers: alike(4, Spec{})}},
		{Name: "the service rate doubles", Capacity: 50 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.4,
			Config: Config{Blocks: image(20, 50*mbit), Groups: changing(25*mbit, 50*mbit), Receivers: alike(4, Spec{})}},
		{Name: "machines run 10 ms of 100 ms", Capacity: 246 * mbit, MaxSent: 1.5, MaxTime: 1.15, Lowest: 0.5,
			Config: Config{Own: 1e9, Blocks: image(10, 246*mbit), Groups: free, Receivers: alike(2, Spec{Packets: 200e3, On: 10 * time.Millisecond, Of: 100 * time.Millisecond, Socket: socket})}},
		{Name: "machines run 5 ms of 250 ms", Capacity: 98 * mbit, MaxSent: 1.5, MaxTime: 1.15, Lowest: 0.5,
			Config: Config{Own: 1e9, Blocks: image(10, 98*mbit), Groups: free, Receivers: alike(2, Spec{Packets: 400e3, On: 5 * time.Millisecond, Of: 250 * time.Millisecond, Socket: socket})}},
		{Name: "slow machines behind full sockets", Capacity: 98 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.7,
			Config: Config{Own: 1e9, Blocks: image(10, 98*mbit), Groups: free, Receivers: alike(4, Spec{Packets: 8e3, Socket: socket})}},
		{Name: "Wi-Fi: two of six lose 30% in bursts", Capacity: 50 * mbit, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Blocks: image(20, 50*mbit), Groups: bottleneck(50*mbit, half), Count: 4, Receivers: append(alike(4, Spec{}), alike(2, Spec{Loss: 0.3, Burst: 20})...)}},
		{Name: "a neighbour", Why: "(the share is found by sounding, from below)", Capacity: 50 * mbit, MaxSent: 1.1, MaxTime: 1.1, Keeps: 0.25, Lowest: 0.4,
			Config: Config{Neighbour: true, Blocks: image(20, 25*mbit), Groups: bottleneck(50*mbit, half), Receivers: alike(2, Spec{})}},
		{Name: "reports lost by 30%", Capacity: 50 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Blocks: image(20, 50*mbit), Groups: bottleneck(50*mbit, half), Receivers: alike(4, Spec{ReportLoss: 0.3})}},
		{Name: "reports late by 2 s", Why: "(NACKs come as late: a fixed rate sends as much)", Capacity: 50 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Blocks: image(20, 50*mbit), Groups: bottleneck(50*mbit, half), Receivers: alike(4, Spec{ReportDelay: 2 * second})}},
		{Name: "a quarter ten times slower", Capacity: 50 * mbit, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Blocks: image(20, 50*mbit), Count: 6, Groups: append(bottleneck(50*mbit, half), bottleneck(5*mbit, half)...),
				Receivers: append(alike(6, Spec{}), alike(2, Spec{Group: 1})...)}},
		{Name: "disks of 20 MB/s behind deep buffers", Capacity: 170 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.6,
			Config: Config{Own: 1e9, Blocks: image(20, 170*mbit), Groups: free, Receivers: alike(4, Spec{Disk: disk(52400 * time.Microsecond)})}},
		{Name: "all disks stall for 5 s", Capacity: 200 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.5,
			Config: Config{Blocks: image(15, 200*mbit), Groups: bottleneck(200*mbit, half), Receivers: alike(4, Spec{Disk: stalling})}},
		{Name: "one disk of four stalls for 5 s", Capacity: 200 * mbit, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Blocks: image(15, 200*mbit), Count: 3, Groups: bottleneck(200*mbit, half), Receivers: append(alike(3, Spec{}), Spec{Disk: stalling})}},
		{Name: "one of two dies", Capacity: 50 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Blocks: image(20, 50*mbit), Groups: bottleneck(50*mbit, half), Receivers: []Spec{{}, {Kill: 5 * second}}}},
		{Name: "one of four lies", Capacity: 5 * mbit, MaxTime: 1.1, MaxSent: 1.25, Lowest: 0.8,
			Config: Config{Blocks: image(20, 5*mbit), Groups: bottleneck(5*mbit, second), Count: 3, Receivers: append(alike(3, Spec{}), Spec{Liar: true})}},
		{Name: "by unicast", Capacity: 50 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Unicast: true, Blocks: image(20, 50*mbit), Groups: bottleneck(50*mbit, half), Receivers: alike(1, Spec{})}},
		{Name: "two by unicast", Capacity: 25 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Unicast: true, Blocks: image(20, 25*mbit), Groups: append(bottleneck(50*mbit, half), bottleneck(25*mbit, half)...),
				Receivers: []Spec{{}, {Group: 1}}}},
		{Name: "MXB 1 beside", Capacity: 43.75 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{MXB1: true, Blocks: image(20, 43.75*mbit), Groups: bottleneck(50*mbit, half), Receivers: alike(4, Spec{})}},
		{Name: "no probes, 5 Mbit/s", Capacity: 5 * mbit, MaxSent: 1.25, MaxTime: 1.1, Lowest: 0.8, MaxBlind: 16e6,
			Config: Config{NoProbes: true, Blocks: image(20, 5*mbit), Groups: bottleneck(5*mbit, second), Receivers: alike(4, Spec{})}},
		{Name: "probes show 1 Gbit/s, the path has 5 and 10 s of queue", Capacity: 5 * mbit, MaxSent: 1.25, MaxTime: 1.1, Lowest: 0.8, MaxBlind: 16e6,
			Config: Config{Probe: 1e9, Blocks: image(20, 5*mbit), Groups: bottleneck(5*mbit, 10*second), Receivers: alike(2, Spec{})}},
		{Name: "probes show 20 Mbit/s, the path has 200", Capacity: 200 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Probe: 20 * mbit, Blocks: image(20, 200*mbit), Groups: bottleneck(200*mbit, half), Receivers: alike(2, Spec{})}},
		{Name: "older clients, 5 Mbit/s, 1 s of queue", Capacity: 5 * mbit, MaxSent: 1.25, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Old: true, Blocks: image(20, 5*mbit), Groups: bottleneck(5*mbit, second), Receivers: alike(2, Spec{})}},
		{Name: "older clients, 50 Mbit/s, 50 ms of queue, 5%", Capacity: 50 * mbit, Loss: 0.05, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Old: true, Blocks: image(20, 50*mbit), Groups: bottleneck(50*mbit, half), Receivers: alike(4, Spec{Loss: 0.05})}},
		{Name: "older clients, no bottleneck, 1 GbE", Capacity: 1000 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Old: true, Own: 1e9, Blocks: image(6, 1000*mbit), Groups: free, Receivers: alike(2, Spec{})}},
		{Name: "no probes, 1 GbE", Capacity: 1000 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8, MaxBlind: 16e6,
			Config: Config{NoProbes: true, Own: 1e9, Blocks: image(8, 1000*mbit), Groups: free, Receivers: alike(1, Spec{})}},
		{Name: "own interface of 200 Mbit/s, 3%", Capacity: 200 * mbit, Loss: 0.03, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Own: 200 * mbit, Blocks: image(10, 200*mbit), Groups: free, Receivers: alike(4, Spec{Loss: 0.03})}},
		{Name: "no bottleneck but the receiver's CPU", Capacity: 4900 * mbit, MaxSent: 1.1, MaxTime: 1.15, Lowest: 0.7,
			Config: Config{Own: 7e9, Blocks: image(4, 4900*mbit), Groups: free, Receivers: alike(1, Spec{Packets: 400e3, Socket: 20000})}},
		{Name: "a limit of 30 Mbit/s that was set", Capacity: 30 * mbit, MaxSent: 1.1, MaxTime: 1.1, Lowest: 0.8,
			Config: Config{Ceiling: 30 * mbit, Blocks: image(10, 30*mbit), Groups: bottleneck(50*mbit, half), Receivers: alike(2, Spec{})}},
	}
	for i := range cells {
		c := &cells[i]
		c.Special, c.Config.Seed = c.Name, 1
	}
	return cells
}
