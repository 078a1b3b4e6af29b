//go:build linux

package main

import (
	"fmt"
	"time"

	"multiserver/internal/lab"
)

// Names of rows about congestion.
const (
	rowDutyTenth       = "2 clients that run 10 ms of 100 ms"
	rowDutyFew         = "2 clients that run 5 ms of 250 ms"
	rowThrottled       = "4 clients held to 10% of a core"
	rowThrottledOne    = "one of 4 clients held to 10% of a core"
	rowBesideTCP       = "2 clients behind 50 Mbit/s, TCP beside"
	throttledCoreShare = 0.1
)

// port is what the switch sends to a client by.
type port struct {
	clients    int
	bitsPerSec int64
	queueBytes int
	queue      string // in its row's name
}

var ports = []port{
	{2, 5e6, 1e6, "1 MB"},
	{2, 20e6, 10e6, "10 MB"},
	{4, 50e6, 4e6, "4 MB"},
	{4, 50e6, 64 << 10, "64 KB"},
}

func (p port) row(link string) string {
	return fmt.Sprintf("%d clients behind %d Mbit/s, %s of queue, own link %s", p.clients, p.bitsPerSec/1e6, p.queue, link)
}

// usualPortBitsPerSec is the rate of a port at which a row would take the whole image; the rows
// behind ports take the part of it that is to it as their rate is to this: 13.4 s of 256 MiB.
const usualPortBitsPerSec = 160e6

// behindPorts shapes the ports of all clients.
func behindPorts(clients int, bitsPerSec int64, queueBytes int) func(*lab.Lab) error {
	return func(l *lab.Lab) error {
		for _, h := range l.Hosts[1 : 1+clients] {
			if err := h.ShapeDownlink(bitsPerSec, queueBytes); err != nil {
				return err
			}
		}
		return nil
	}
}

// congestionRows are the measurements beside the best fixed rate. Bytes are what is wanted, so
// packets are cut, and all headers count.
func congestionRows(sizeBytes int64, cut, whole lab.Config) []row {
	unlimited := cut
	unlimited.UplinkBitsPerSec = 0
	compared := []string{ours, oursBestRate}
	wantedOf := func(name string, mostSent float64) []figure {
		return []figure{
			atMost(ours, "sent ÷ image", mostSent, of(sent, name, ours)),
			atMost(ours, "wall time ÷ at the best fixed rate", 1.15, ratio(wall, name, ours, name, oursBestRate)),
		}
	}
	portSize := func(bitsPerSec int64) int64 {
		return max(1<<20, int64(float64(sizeBytes)*float64(bitsPerSec)/usualPortBitsPerSec))
	}

	var rows []row
	for _, p := range ports {
		for _, link := range []struct {
			name   string
			config lab.Config
		}{{"without a limit", unlimited}, {"at 1 GbE", cut}} {
			name := p.row(link.name)
			rows = append(rows, row{
				name: name, clients: p.clients, sizeBytes: portSize(p.bitsPerSec), config: link.config,
				prepare:            behindPorts(p.clients, p.bitsPerSec, p.queueBytes),
				portBitsPerSec:     p.bitsPerSec,
				slowestBytesPerSec: p.bitsPerSec / 8 / 10,
				rates:              &rateRange{p.bitsPerSec / 2, p.bitsPerSec * 5 / 4},
				only:               compared,
				wanted:             wantedOf(name, 1.15),
			})
		}
	}
	const tcpBitsPerSec = 50e6
	return append(rows,
		row{
			name: rowBesideTCP, clients: 2, sizeBytes: portSize(tcpBitsPerSec) / 2, config: cut, besideTCP: true,
			prepare:            behindPorts(2, tcpBitsPerSec, switchQueueBytes),
			portBitsPerSec:     tcpBitsPerSec,
			slowestBytesPerSec: tcpBitsPerSec / 8 / 20,
			during:             &event{at: 0.02, do: startTCPFlows},
			rates:              &rateRange{tcpBitsPerSec / 4, tcpBitsPerSec},
			only:               compared,
			wanted: append(wantedOf(rowBesideTCP, 1.15),
				atLeast(ours, "TCP's share of the port", tcpShareWanted, of(tcpShareOf, rowBesideTCP, ours)),
				told(oursBestRate, "TCP's share of the port", of(tcpShareOf, rowBesideTCP, oursBestRate))),
			note: "one TCP transfer without an end through each client's port, from a host of its own, from when 0.02 of the image was sent until the client has ended; its share is that of the port's line rate, headers included, the lower of the two; the best fixed rate is the fastest that leaves TCP a quarter; the figures of when data came count TCP's data too",
		},
		row{
			name: rowDutyTenth, clients: 2, sizeBytes: sizeBytes / 2, config: unlimited,
			duty:  &duty{10 * time.Millisecond, 100 * time.Millisecond},
			rates: &rateRange{10e6, 1280e6},
			only:  compared, slowestBytesPerSec: dutySlowestBytesPerSec,
			wanted: wantedOf(rowDutyTenth, 1.5),
			note:   "the clients are stopped and continued by signals; their kernels go on receiving",
		},
		row{
			name: rowDutyFew, clients: 2, sizeBytes: sizeBytes / 8, config: unlimited,
			duty:  &duty{5 * time.Millisecond, 250 * time.Millisecond},
			rates: &rateRange{5e6, 640e6},
			only:  compared, slowestBytesPerSec: dutySlowestBytesPerSec,
			wanted: wantedOf(rowDutyFew, 1.5),
		},
		row{
			name: rowThrottled, clients: 4, sizeBytes: sizeBytes, config: cut, missing: cpuGroupMissing,
			coreShares: []float64{throttledCoreShare, throttledCoreShare, throttledCoreShare, throttledCoreShare},
			rates:      &rateRange{15e6, 960e6},
			only:       compared,
			wanted:     wantedOf(rowThrottled, 1.15),
			note:       "a control group for each client, of 10 ms of CPU time in each 100 ms; what the kernel receives outside of the client's time is not counted",
		},
		row{
			name: rowThrottledOne, clients: 4, sizeBytes: sizeBytes, config: whole, missing: cpuGroupMissing,
			coreShares: []float64{0, 0, 0, throttledCoreShare},
			only:       []string{ours},
			wanted:     []figure{atMost(ours, "the others' time ÷ with nobody held", 1.05, ratio(others, rowThrottledOne, ours, rowNoLoss, ours))},
		},
	)
}

// dutySlowestBytesPerSec ends a transfer to clients that hardly run.
const dutySlowestBytesPerSec = 128 << 10
