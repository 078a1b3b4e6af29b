package receiver

import (
	"math/rand/v2"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// feed hands over a stream of groups of 16 blocks of K symbols, of which one in a
// hundred is lost and made up for by repair symbols.
type feed struct {
	e      *Engine
	r      *rand.Rand
	symbol wire.Symbol
	now    time.Duration
	group  uint32
	turn   uint32
}

const feedBlocks, feedK = 1 << 14, 727

func newFeed() *feed {
	f := &feed{r: rand.New(rand.NewPCG(1, 1))}
	f.begin()
	return f
}

func (f *feed) begin() {
	f.e = New(f.now, Config{
		Receiver: 1, Window: 64, SymbolSize: 1444, Rand: f.r,
		Image: block.Geometry{ImageSize: feedBlocks << 20, BlockSize: 1 << 20},
	}, Session{ID: 1, ReportInterval: 250 * time.Millisecond, Receivers: 100})
	f.symbol = wire.Symbol{K: feedK}
	f.group, f.turn = 0, 0
}

// next hands over the next symbol.
func (f *feed) next() {
	f.now += 12 * time.Microsecond
	f.symbol.Sequence++
	f.symbol.Block = block.ID(f.group + f.turn%16)
	f.symbol.Symbol = block.SymbolID(f.turn / 16)
	if f.turn++; f.turn == 16*(feedK+24) {
		f.turn = 0
		if f.group += 16; f.group == feedBlocks {
			f.begin()
			return
		}
	}
	if f.r.Uint32()%100 == 0 {
		return
	}
	if t := f.e.HandleSymbol(f.now, &f.symbol); t.Complete {
		f.e.BlockVerified(t.Slot)
		f.e.BlockWritten(f.now, t.Slot)
	}
}

func BenchmarkHandleSymbol(b *testing.B) {
	f := newFeed()
	b.SetBytes(1444)
	for b.Loop() {
		f.next()
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	f := newFeed()
	packet := make([]byte, 0, wire.MaxControlSize)
	step := func() {
		for range 16 * (feedK + 24) {
			f.next()
		}
		for f.e.Deadline() <= f.now {
			f.e.Poll(f.now, packet[:0])
		}
	}
	for range 20 {
		step()
	}
	if n := testing.AllocsPerRun(50, step); n != 0 {
		t.Errorf("%v allocations for 16 blocks", n)
	}
}
