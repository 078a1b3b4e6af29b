package sender

import (
	"testing"

	"pgregory.net/rapid"
)

// TestJobs holds the queue against a plain list that is searched from the front.
func TestJobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var j jobs
		var plain []job
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			index := rapid.Uint32Range(0, 3).Draw(t, "block")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				n := job{index: index, first: rapid.Uint16Range(0, 50).Draw(t, "first"), count: rapid.Uint16Range(1, 20).Draw(t, "count"), repair: rapid.Bool().Draw(t, "repair")}
				j.add(n)
				plain = append(plain, n)
			case 2:
				if len(plain) > 0 {
					j.drop()
					plain = plain[1:]
				}
			case 3:
				n := rapid.Uint16Range(1, 40).Draw(t, "need")
				merged := false
				for k := range plain {
					if q := &plain[k]; q.index == index && q.repair {
						q.count, merged = max(q.count, n), true
						break
					}
				}
				if got := j.merge(index, n); got != merged {
					t.Fatalf("merged %v, want %v", got, merged)
				}
			}
			if j.len() != len(plain) {
				t.Fatalf("%d jobs, want %d", j.len(), len(plain))
			}
			for k, want := range plain {
				if got := j.list[j.head+k]; got != want {
					t.Fatalf("job %d is %+v, want %+v", k, got, want)
				}
			}
			first, count := j.without(index, 10, 30)
			if wantFirst, wantCount := without(plain, index, 10, 30); count != wantCount || count > 0 && first != wantFirst {
				t.Fatalf("of 10+30 of block %d %d+%d are left, want %d+%d", index, first, count, wantFirst, wantCount)
			}
		}
	})
}

// without cuts from a range what each job of the list, one after the other, has at its
// ends.
func without(list []job, index uint32, first, count uint16) (uint16, uint16) {
	lo, hi := first, first+count
	for _, q := range list {
		for q.index == index && !q.repair && lo < hi && q.first <= lo && lo < q.first+q.count {
			lo++
		}
		for q.index == index && !q.repair && lo < hi && q.first < hi && hi <= q.first+q.count {
			hi--
		}
	}
	return lo, hi - lo
}
