package guard

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func addr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24|uint32(n))))
}

// TestAnswers: more than the question goes to an address once a second, and to hosts elsewhere
// sixteen times a second in all.
func TestAnswers(t *testing.T) {
	const small, large = 50, 200
	var a Answers
	for range 100 {
		if !a.May(0, addr(1), false, large, large) || !a.May(0, addr(1), false, large, small) {
			t.Fatal("an answer that is no larger than its question is not given")
		}
	}
	answered := func(local bool) (n int) {
		a = Answers{}
		for ms := range 3000 {
			for host := range 4 {
				if a.May(time.Duration(ms)*time.Millisecond, addr(host), local, small, large) {
					n++
				}
			}
		}
		return n
	}
	if n := answered(true); n != 4*(3+answersAtOnce-1) {
		t.Errorf("four hosts on a network get %d answers in three seconds, want one a second, and %d at once", n, answersAtOnce)
	}
	a = Answers{}
	n := 0
	for host := range 1000 { // within two seconds
		if a.May(time.Duration(host)*2*time.Millisecond, addr(host), false, small, large) {
			n++
		}
	}
	if n < 2*farAnswers || n > 3*farAnswers {
		t.Errorf("hosts elsewhere get %d answers in two seconds", n)
	}
	a = Answers{}
	for host := range 3 * maxAsked {
		a.May(time.Duration(host), addr(host), true, small, large)
	}
	if len(a.asked) != maxAsked {
		t.Errorf("%d addresses are kept", len(a.asked))
	}
	if !a.May(2*time.Second, addr(5*maxAsked), true, small, large) {
		t.Error("later nobody else is answered")
	}
}

// TestBroadcasts: one a second in all, and for hosts on the network only.
func TestBroadcasts(t *testing.T) {
	var a Answers
	n := 0
	for ms := range 3000 {
		if a.MayBroadcast(time.Duration(ms)*time.Millisecond, false) {
			t.Fatal("a host elsewhere has everybody told")
		}
		if a.MayBroadcast(time.Duration(ms)*time.Millisecond, true) {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d broadcasts in three seconds", n)
	}
}

// TestPasses: an address has the image sent once, and again in the next hour.
func TestPasses(t *testing.T) {
	const blocks = 1000
	p := NewPasses(blocks)
	sent := 0
	for n := range 100 {
		now := time.Duration(n) * time.Millisecond
		more := min(p.Left(now, addr(1)), blocks/2)
		p.Spend(now, addr(1), more)
		sent += int(more)
	}
	if sent != blocks+blocks/passSlack {
		t.Errorf("%d blocks of %d are sent to one address at once", sent, blocks)
	}
	if p.Left(0, addr(2)) == 0 {
		t.Error("another address gets nothing")
	}
	if p.Left(passTime/4, addr(1)) > blocks/4+1 || p.Left(passTime+time.Second, addr(1)) < blocks {
		t.Error("a pass lasts another time than an hour")
	}
	for n := range 2 * maxPasses {
		p.Spend(time.Second, addr(n), 1)
	}
	if len(p.spent) != maxPasses || p.Left(time.Second, addr(3*maxPasses)) > 0 {
		t.Errorf("%d addresses are kept", len(p.spent))
	}
	if p.Left(2*passTime, addr(3*maxPasses)) == 0 {
		t.Error("addresses are never forgotten")
	}
}
