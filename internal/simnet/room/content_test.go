package room

import (
	"testing"
	"time"
)

// checkTime is of a block of 1 MiB at 500 MB/s.
const checkTime = 2 * time.Millisecond

// TestDelta: what differs is about all that is sent, and the end comes soon.
func TestDelta(t *testing.T) {
	half := OldContent{Same: 0.98, Alike: 0.5, Subblocks: true, CheckTime: checkTime}
	page := OldContent{Same: 0.98, Alike: 0.97, Subblocks: true, CheckTime: checkTime}
	whole := OldContent{Same: 0.98, CheckTime: checkTime}
	nothing := OldContent{Same: 0.98, Subblocks: true, CheckTime: checkTime}
	resumed := OldContent{Same: 0.7, First: true, Subblocks: true, CheckTime: checkTime, At: 5 * time.Millisecond}
	for _, test := range []struct {
		name   string
		all    []Spec
		wanted float64
	}{
		{"one, blocks differ whole", receivers(1, Spec{OldContent: &whole}), 0.03},
		{"one, blocks differ whole, by sub-blocks", receivers(1, Spec{OldContent: &nothing}), 0.03},
		{"one, blocks differ by half", receivers(1, Spec{OldContent: &half}), 0.02},
		{"one, blocks differ by little", receivers(1, Spec{OldContent: &page}), 0.02},
		{"four, blocks differ whole", receivers(4, Spec{OldContent: &whole}), 0.09},
		{"four, blocks differ whole, by sub-blocks", receivers(4, Spec{OldContent: &nothing}), 0.09},
		{"four, blocks differ by half", receivers(4, Spec{OldContent: &half}), 0.06},
		{"four, blocks differ by little", receivers(4, Spec{OldContent: &page}), 0.03},
		{"four, blocks differ by little, 1%", receivers(4, Spec{OldContent: &page, Loss: 0.01}), 0.03},
		{"a hundred, the same blocks by half, 1%", receivers(100, Spec{OldContent: common(half), Loss: 0.01}), 0.03},
		{"a hundred, the same blocks by little, 1%", receivers(100, Spec{OldContent: common(page), Loss: 0.01}), 0.03},
		{"a hundred, the same blocks whole, 1%", receivers(100, Spec{OldContent: common(nothing), Loss: 0.01}), 0.03},
		{"ten, and ten new ones, 1%", append(receivers(10, Spec{OldContent: &page, Loss: 0.01}), receivers(10, Spec{Loss: 0.01})...), 1.05},
		{"one resumes at 70%", receivers(1, Spec{OldContent: &resumed}), 0.315},
		{"four resume at 70%, 1%", receivers(4, Spec{OldContent: &resumed, Loss: 0.01}), 0.33},
	} {
		const blocks = 512
		r := simulate(t, Config{Blocks: blocks, Receivers: test.all})
		t.Logf("%s: %.4f sent, %d symbols, %d sub-blocks, %d control, feedback %v, done at %v, %v after the last check", test.name, r.Sent(), r.Symbols, r.Subblocks, r.Control, r.Feedback, r.Finished, r.Finished-r.Checked)
		if r.Sent() > test.wanted {
			t.Errorf("%s: %.4f sent, want at most %.4f", test.name, r.Sent(), test.wanted)
		}
	}
}

// TestCheckFeedsTheStream: where all blocks differ and are found one by one, faster than
// they can be sent, the wire is never idle for long, whether sub-blocks are asked for or not;
// and where they are found more slowly, the last one comes at once.
func TestCheckFeedsTheStream(t *testing.T) {
	const blocks, blockTime = 64, 727 * packetTime
	for _, subblocks := range []bool{false, true} {
		for _, check := range []time.Duration{checkTime, 2 * blockTime} {
			r := simulate(t, Config{Blocks: blocks, Receivers: receivers(1, Spec{OldContent: &OldContent{Subblocks: subblocks, CheckTime: check}})})
			took := r.Finished - r.Checking
			wanted := blocks*blockTime*102/100 + 15*time.Millisecond
			if check > blockTime {
				wanted = blocks*check + blockTime + 15*time.Millisecond
				if subblocks {
					wanted += check // the last block is read once more
				}
			}
			t.Logf("sub-blocks %v, %v for a check: %v for %d blocks, %v after the last check", subblocks, check, took, blocks, r.Finished-r.Checked)
			if took > wanted {
				t.Errorf("sub-blocks %v, %v for a check: %v for %d blocks, want at most %v", subblocks, check, took, blocks, wanted)
			}
		}
	}
}

func common(d OldContent) *OldContent {
	d.Common = true
	return &d
}
