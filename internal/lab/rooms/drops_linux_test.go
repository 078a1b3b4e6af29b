package rooms

import (
	"strings"
	"syscall"
	"testing"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
)

// TestDropsAreNotLoss: what a client's own socket has no room for, while its process is stopped, is
// dropped and not lost, at the client and at the server; what the wire loses is lost and not
// dropped.
func TestDropsAreNotLoss(t *testing.T) {
	const imageBytes = 128 * mib // four times a socket's buffer
	r := newRoom(t, lab.Config{Hosts: 4}, 1)
	r.fill(imageBytes)
	r.must(r.Hosts[3].SetLoss(2))
	s := r.serve(0, "--rate", "800M", "--min-receivers", "3")
	stopped, other, lossy := r.receive(1), r.receive(2), r.receive(3)
	stopped.reaches(0.05)
	stopped.signal(syscall.SIGSTOP)
	other.finishes()
	lossyDrops := lossy.finishes().SocketDrops
	stopped.signal(syscall.SIGCONT)
	own := stopped.finishes().SocketDrops
	end := s.stop()

	row := func(host int) progress.ReceiverRecord {
		t.Helper()
		for _, each := range end.Receivers {
			if strings.HasPrefix(each.Addr, r.Hosts[host].Address.Addr().String()+":") {
				return each
			}
		}
		t.Fatalf("no row of host %d in %+v", host, end.Receivers)
		return progress.ReceiverRecord{}
	}
	t.Logf("stopped: %+v; lossy: %+v", row(1), row(3))
	server := row(1)
	if own < 1000 {
		t.Fatalf("only %d packets were dropped: its socket took nearly all", own)
	}
	if server.SocketDrops < own*9/10 || server.SocketDrops > own || server.PacketsLost > own/10 || server.Limit != "socket" {
		t.Errorf("the client dropped %d; the server tells of %+v", own, server)
	}
	if server := row(3); lossyDrops > 0 || server.SocketDrops > 0 || server.PacketsLost < 1000 || server.Limit != "wire" {
		t.Errorf("the wire lost 2%%, and the client dropped %d; the server tells of %+v", lossyDrops, server)
	}
}
