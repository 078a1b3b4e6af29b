package guard

import (
	"net/netip"
	"time"
)

const (
	// passTime is how long it takes until a client of MXB 1 may have the image sent once more.
	passTime = time.Hour
	// passSlack is the part of the image by which a pass may be longer, for what was lost.
	passSlack = 8
	// maxPasses bounds the addresses that are kept, some 100 bytes each.
	maxPasses = 4096
)

// Passes counts what is sent for the sake of each address that speaks MXB 1. While MXB 2 has
// something to send, an address gets one pass over the image, and what it lost of that. Make it by
// NewPasses.
type Passes struct {
	blocks float64 // of the image
	spent  map[netip.Addr]pass
}

type pass struct {
	blocks float64 // sent for its sake, fading with time
	at     time.Duration
}

// NewPasses returns a Passes for an image of so many blocks.
func NewPasses(blocks uint64) *Passes {
	return &Passes{blocks: float64(blocks), spent: map[netip.Addr]pass{}}
}

// Left is how many blocks an address may have sent, beside MXB 2.
func (p *Passes) Left(now time.Duration, from netip.Addr) uint64 {
	s, known := p.spent[from]
	if !known {
		p.forget(now)
		if len(p.spent) >= maxPasses {
			return 0
		}
	}
	return uint64(max(0, p.blocks+p.blocks/passSlack-p.counts(now, s)))
}

// Spend counts blocks that have to be sent for an address.
func (p *Passes) Spend(now time.Duration, from netip.Addr, blocks uint64) {
	s, known := p.spent[from]
	if !known && len(p.spent) >= maxPasses {
		return
	}
	p.spent[from] = pass{p.counts(now, s) + float64(blocks), now}
}

func (p *Passes) counts(now time.Duration, s pass) float64 {
	return max(0, s.blocks-p.blocks*(now-s.at).Seconds()/passTime.Seconds())
}

// forget drops the addresses for which nothing counts any more, if there is no room.
func (p *Passes) forget(now time.Duration) {
	if len(p.spent) < maxPasses {
		return
	}
	for from, s := range p.spent {
		if p.counts(now, s) == 0 {
			delete(p.spent, from)
		}
	}
}
