package receiver

import (
	"math/rand/v2"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// FuzzEngine lets an engine hear packets that any sender might send, with contents that nobody sent,
// and its driver do what it must. It neither panics nor says things without an end, and what it
// counts adds up.
func FuzzEngine(f *testing.F) {
	f.Add([]byte("0123456789 0123456789 abcdefghij"), uint64(1))
	f.Add([]byte{0, 0, 1, 0, 0, 1, 1, 0, 2, 0, 5, 9, 6, 2, 7, 7}, uint64(2))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		const blocks = 6
		r := rand.New(rand.NewPCG(seed, 1))
		g := block.Geometry{ImageSize: blocks * 4096, BlockSize: 4096}
		e := New(0, Config{
			Receiver: 7, Image: g, SymbolSize: 1024, Window: 1 + r.IntN(blocks), Rand: rand.New(rand.NewPCG(seed, 2)), Subblocks: true,
		}, Session{ID: 1, ReportInterval: time.Second, Receivers: 1 + r.Uint32N(3), Private: 9, Raw: r.IntN(2) == 0, TellsSequence: r.IntN(2) == 0})
		now := time.Duration(0)
		var solving, writing []int
		take := func(list *[]int) (p int, ok bool) {
			if len(*list) == 0 {
				return 0, false
			}
			p = (*list)[0]
			*list = (*list)[1:]
			return p, true
		}
		zeros := uint32(0)
		for len(b) >= 2 {
			op, v := b[0], b[1]
			b = b[2:]
			now += time.Duration(v) * time.Millisecond / 4
			object := wire.Object(v >> 7)
			id := block.ID(v % (blocks + 1))
			switch op % 12 {
			case 0, 1, 2:
				y := wire.Symbol{Sequence: wire.Sequence(r.IntN(500)), Object: object, Block: id, K: uint16(4 + v%3), Symbol: block.SymbolID(r.IntN(8))}
				if p := e.HandleSymbol(now, &y); p.Complete {
					solving = append(solving, p.Slot)
				}
			case 3:
				for _, run := range e.HandleZeroRun(now, &wire.ZeroRun{Sequence: wire.Sequence(r.IntN(500)), First: id, Count: 1 + uint32(op)%4}, nil) {
					zeros += uint32(run.Len())
				}
			case 4:
				e.HandleHeartbeat(now, wire.Heartbeat{
					Sequence: wire.Sequence(r.IntN(1000)), PassEnded: v&1 != 0, Pass: uint32(v) % 4, Receivers: uint32(v), ReportInterval: wire.MinInterval,
					RoundTrip: time.Duration(v) * time.Millisecond, CarouselBlock: id, Completion: wire.Completion{ManifestSize: 52 + uint64(v)},
				})
			case 5:
				e.HandleRepairAdv(now, wire.RepairAdv{Sequence: wire.Sequence(r.IntN(1000)), Pending: wire.List[wire.SymbolCount]{}.Append(wire.SymbolCount{Object: object, Block: id, Symbols: 1 + uint16(v)})})
			case 6:
				e.HandleSubblockDigests(now, wire.SubblockDigests{Block: id, K: uint16(4 + v%3)})
			case 7:
				if p, ok := take(&solving); ok {
					switch {
					case e.IsProven(p) && v&1 != 0:
						if e.Checked(now, p, make(block.Bits, len(e.slots[p].bits))) {
							e.BlockVerified(p)
							writing = append(writing, p)
						}
					case e.IsProven(p):
						e.ProvenWrong(now, p)
					case v&3 == 0:
						e.BlockNeedsMore(now, p, 1)
					case v&3 == 1:
						e.BlockFailed(now, p)
					default:
						e.BlockVerified(p)
						writing = append(writing, p)
					}
				}
			case 8:
				if p, ok := take(&writing); ok {
					e.BlockWritten(now, p)
				}
				e.ZerosWritten(zeros)
				zeros = 0
			case 9:
				if p, ok := e.Proving(object, id); ok {
					if k := uint16(4 + v%3); object == wire.Image && v&8 != 0 {
						e.ProvenZero(now, p)
						zeros++
					} else if e.IsK(object, id, k) {
						e.Proven(now, p, k)
						solving = append(solving, p)
					}
				}
			case 10:
				e.SenderAt(now, wire.Sequence(r.IntN(1000)))
				if e.Learn(now, wire.Completion{ManifestSize: 52 + uint64(v)}); zeros == 0 {
					e.Redo(now, block.Range{Lo: uint64(min(id, blocks-1)), Hi: uint64(min(id, blocks-1)) + 1})
				}
			case 11:
				e.SwitchStream(now)
			}
			for said := 0; e.Deadline() <= now; said++ {
				if _, ok := e.Poll(now, nil); !ok && e.Deadline() <= now {
					break // the driver asks again later
				}
				if said > 1000 {
					t.Fatalf("there is no end to what is due at %v", now)
				}
			}
			if e.verified > e.image+e.manifest || e.written > e.verified || e.done > e.image {
				t.Fatalf("%d blocks are verified, %d written, %d done", e.verified, e.written, e.done)
			}
		}
	})
}
