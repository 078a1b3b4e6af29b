package sender

import (
	"testing"

	"pgregory.net/rapid"
)

func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint32Range(1, 20_000).Draw(t, "n")
		m, model := newMarks(uint64(n)), map[uint32]bool{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			i := rapid.Uint32Range(0, n-1).Draw(t, "i")
			if rapid.Bool().Draw(t, "add") {
				m.add(i)
				model[i] = true
			} else {
				m.remove(i)
				delete(model, i)
			}
			if m.count != len(model) {
				t.Fatalf("%d marks, want %d", m.count, len(model))
			}
			from := rapid.Uint32Range(0, n+100).Draw(t, "from")
			want, found := uint32(0), false
			for j := range model {
				if j >= from && (!found || j < want) {
					want, found = j, true
				}
			}
			if got, ok := m.next(from); ok != found || got != want {
				t.Fatalf("from %d: %d, %v, want %d, %v", from, got, ok, want, found)
			}
		}
	})
}
