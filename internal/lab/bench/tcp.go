//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"multiserver/internal/lab"
)

const (
	// tcpShareWanted is what a TCP flow beside the stream keeps of its bottleneck.
	tcpShareWanted = 0.25
	// A full segment with timestamps carries tcpPayloadBytes in tcpWireBytes of Ethernet.
	tcpPayloadBytes = 1448
	tcpWireBytes    = 1538
)

// tcpFlow is one TCP transfer without an end.
type tcpFlow struct {
	started  time.Time
	received atomic.Int64 // bytes
	conns    [2]net.Conn  // sender, receiver
	ended    sync.WaitGroup
	once     sync.Once
}

// startTCP begins a transfer from one host to another. The caller must close it.
func startTCP(from, to *lab.Host) (*tcpFlow, error) {
	var listener *net.TCPListener
	address := &net.TCPAddr{IP: to.Address.Addr().AsSlice()}
	err := to.Do(func() (err error) {
		listener, err = net.ListenTCP("tcp4", address)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	f := &tcpFlow{}
	if err := from.Do(func() error {
		conn, err := net.DialTCP("tcp4", nil, listener.Addr().(*net.TCPAddr))
		f.conns[0] = conn
		return err
	}); err != nil {
		return nil, err
	}
	if err := listener.SetDeadline(time.Now().Add(startLimit)); err != nil {
		return nil, errors.Join(err, f.conns[0].Close())
	}
	if f.conns[1], err = listener.Accept(); err != nil {
		return nil, errors.Join(err, f.conns[0].Close())
	}
	f.started = time.Now()
	f.ended.Add(2)
	go func() { // ends when close closes the connections, as the next one
		defer f.ended.Done()
		for buffer := make([]byte, 64<<10); ; {
			if _, err := f.conns[0].Write(buffer); err != nil {
				return
			}
		}
	}()
	go func() {
		defer f.ended.Done()
		_, _ = io.Copy(counter{&f.received}, f.conns[1])
	}()
	return f, nil
}

// close ends the transfer; it may be called more than once.
func (f *tcpFlow) close() {
	f.once.Do(func() {
		for _, c := range f.conns {
			// No acknowledgement is waited for.
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
		f.ended.Wait()
	})
}

// share is what it has had since its start of a line.
func (f *tcpFlow) share(bitsPerSec int64) float64 {
	return tcpShare(f.received.Load(), time.Since(f.started), bitsPerSec)
}

func tcpShare(payloadBytes int64, took time.Duration, bitsPerSec int64) float64 {
	return float64(payloadBytes) * tcpWireBytes / tcpPayloadBytes * 8 / took.Seconds() / float64(bitsPerSec)
}

type counter struct{ bytes *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.bytes.Add(int64(len(b)))
	return len(b), nil
}

// startTCPFlows begins a TCP transfer to each client from the host beside them. Each ends, and
// its share is taken, when its client has ended.
func startTCPFlows(j *job, _ system, o *outcome) error {
	beside := j.lab.Hosts[len(j.lab.Hosts)-1]
	for n, h := range j.clients() {
		f, err := startTCP(beside, h)
		if err != nil {
			return err
		}
		c := o.clients[n]
		share := make(chan float64, 1) // one, from the goroutine below
		o.tcpShares = append(o.tcpShares, share)
		go func() {
			<-c.done // at the latest when run stops it
			got := f.share(j.row.portBitsPerSec)
			f.close()
			share <- got
		}()
	}
	return nil
}
