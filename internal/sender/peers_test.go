package sender

import (
	"testing"

	"pgregory.net/rapid"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestServed holds the lists of wanted ranges against a set for each receiver.
func TestServed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const blocks = 40
		p := newPeers()
		model := map[wire.ReceiverID]map[uint32]bool{}
		for id := wire.ReceiverID(1); id <= 3; id++ {
			p.add(0, id).straggler = id == 3
			model[id] = map[uint32]bool{}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if i := rapid.Uint32Range(0, blocks-1).Draw(t, "served"); rapid.Bool().Draw(t, "serve") {
				p.served(i)
				for _, m := range model {
					delete(m, i)
				}
			}
			if id := wire.ReceiverID(rapid.Uint64Range(1, 9).Draw(t, "id")); id <= 3 {
				var want []block.Range
				model[id] = map[uint32]bool{}
				for range rapid.IntRange(0, 3).Draw(t, "ranges") {
					lo := rapid.Uint64Range(0, blocks-1).Draw(t, "lo")
					hi := rapid.Uint64Range(lo+1, blocks).Draw(t, "hi")
					want = append(want, block.Range{Lo: lo, Hi: hi})
					for i := lo; i < hi; i++ {
						model[id][uint32(i)] = true
					}
				}
				p.setWant(p.find(id), normalize(want))
			}
			ranges := 0
			for _, q := range p.list {
				ranges += len(q.want)
			}
			if ranges != p.ranges {
				t.Fatalf("%d ranges counted, there are %d", p.ranges, ranges)
			}
			for i := range uint32(blocks) {
				if want := model[1][i] || model[2][i]; p.wanted(i, false) != want {
					t.Fatalf("block %d is wanted by the regular receivers: %v", i, !want)
				}
				if want := model[3][i]; p.wanted(i, true) != want {
					t.Fatalf("block %d is wanted by the stragglers: %v", i, !want)
				}
			}
		}
	})
}
