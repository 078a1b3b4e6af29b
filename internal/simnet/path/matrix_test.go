package path

import (
	"reflect"
	"testing"
	"time"

	"multiserver/internal/simnet"
)

// TestFixedCells: what is to be reached is reached in these, and the budget holds in each.
func TestFixedCells(t *testing.T) {
	var known Known
	cells := Fixed()
	if len(cells) != 20 {
		t.Errorf("%d cells", len(cells))
	}
	for _, c := range cells {
		t.Run(c.Name, func(t *testing.T) {
			f, err := Measure(c, &known)
			t.Logf("sent %.3f, time %.3f (best %.4g Mbit/s)", f.SentRatio, f.TimeRatio, f.Best/1e6)
			for _, missed := range f.Missed {
				if c.Why == "" {
					t.Error(missed)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBudgetIsChecked: a stream without the controller exceeds the budget, and the check
// says so.
func TestBudgetIsChecked(t *testing.T) {
	s := newSim(Config{
		Seed: 1, Blocks: image(20, 100e6), Fixed: 100e6, Limit: 10 * time.Second,
		Groups: []simnet.Bottleneck{{Rate: constant(5e6), Queue: 50 * time.Millisecond}}, Receivers: alike(2, Spec{}),
	})
	for s.now < s.cfg.Limit {
		s.due = s.now%(10*time.Millisecond) == 0
		s.sample = append(s.sample[:0], 1, 2)
		s.sender.SetSample(100*time.Millisecond, s.sample)
		s.step()
	}
	if s.result.OverBy == 0 {
		t.Error("20 times what the path carries is within the budget")
	}
}

// TestRepeats: a stream is made by its seed alone.
func TestRepeats(t *testing.T) {
	c := cell(50*time.Millisecond, 5, 0, 4, 0.05).Config
	a, errA := Run(c)
	b, errB := Run(c)
	if !reflect.DeepEqual(a, b) || errA != nil || errB != nil {
		t.Errorf("%+v, %v\nand %+v, %v", a, errA, b, errB)
	}
}
