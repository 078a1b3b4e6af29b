package simnet

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestQueue holds the queue against a search through all that is in it.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[int]
		type thing struct {
			at time.Duration
			n  int
		}
		var model []thing
		for n := range rapid.IntRange(0, 100).Draw(t, "steps") {
			if len(model) > 0 && rapid.IntRange(0, 2).Draw(t, "pop") == 0 {
				first := 0
				for i, m := range model {
					if m.at < model[first].at {
						first = i
					}
				}
				if at, got := q.Pop(); at != model[first].at || got != model[first].n {
					t.Fatalf("popped %d at %d, want %d at %d", got, at, model[first].n, model[first].at)
				}
				model = append(model[:first], model[first+1:]...)
				continue
			}
			at := time.Duration(rapid.IntRange(0, 20).Draw(t, "at"))
			q.Push(at, n)
			model = append(model, thing{at, n})
		}
		if q.Len() != len(model) {
			t.Fatalf("%d in the queue, want %d", q.Len(), len(model))
		}
		if q.Len() == 0 && q.At() != Never {
			t.Fatalf("an empty queue has something at %v", q.At())
		}
	})
}
