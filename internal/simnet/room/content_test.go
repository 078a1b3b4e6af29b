package room

import (
	"testing"
	"time"

	"multiserver/internal/seed"
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

// TestCheckFeedsTheStream: where all blocks differ and are found faster than they can be sent,
// the wire is never idle for long once the manifest has come, whether sub-blocks are asked for
// or not; and where they are found more slowly, the target is read nearly all the time.
func TestCheckFeedsTheStream(t *testing.T) {
	const blocks, blockTime = 64, 727 * packetTime
	for _, test := range []struct {
		subblocks bool
		check     time.Duration
		reads     int // of each block
	}{
		{false, checkTime, 1}, {false, 4 * blockTime, 1},
		{true, checkTime, 2}, {true, 4 * blockTime, 2},
	} {
		r := simulate(t, Config{Blocks: blocks, Receivers: receivers(1, Spec{OldContent: &OldContent{Subblocks: test.subblocks, CheckTime: test.check}})})
		took, wanted := r.Finished-r.Checking, blocks*blockTime*102/100+15*time.Millisecond
		if test.check > blockTime {
			took = r.Finished
			wanted = time.Duration(test.reads*blocks/checkers)*test.check*110/100 + blockTime + 15*time.Millisecond
		}
		t.Logf("%+v: %v, at most %v, %v after the last check", test, took, wanted, r.Finished-r.Checked)
		if took > wanted {
			t.Errorf("%+v: %v, want at most %v", test, took, wanted)
		}
		if read := r.Ended[0].Read; read < uint64(test.reads)*blocks || read > uint64(test.reads)*blocks*6/5 {
			t.Errorf("%+v: %d blocks were read", test, read)
		}
	}
}

// TestSamples: a target of which nothing is known costs some reads if it holds nothing, and
// saves what it holds if that is much. It comes when the sender knows its image: before that
// there is nothing to hold samples against.
func TestSamples(t *testing.T) {
	const blocks, comes = 256, 3 * time.Second
	for _, test := range []struct {
		name string
		old  OldContent
		sent float64 // for it, at most
		read uint64  // at most
	}{
		{"nothing", OldContent{Sampled: true, Subblocks: true, CheckTime: checkTime}, 1.003, seed.Samples},
		{"most", OldContent{Same: 0.95, Sampled: true, Subblocks: true, CheckTime: checkTime}, 0.1, blocks * 6 / 5},
		{"all", OldContent{Same: 1, Sampled: true, CheckTime: checkTime}, 0.05, blocks * 6 / 5},
		{"all, known from the beginning on", OldContent{Same: 1, CheckTime: checkTime}, 0.002, blocks},
	} {
		r := simulate(t, Config{Blocks: blocks, Receivers: []Spec{{}, {Join: comes, OldContent: &test.old}}})
		sent, end := r.Sent()-1, r.Ended[1]
		t.Logf("%s: %.4f sent, %d blocks read, %d kept, done after %v", test.name, sent, end.Read, end.Kept>>20, r.Finish[1]-comes)
		if r.Finish[0] > comes {
			t.Errorf("%s: the first one is done at %v", test.name, r.Finish[0])
		}
		if sent > test.sent {
			t.Errorf("%s: %.4f sent, want at most %.4f", test.name, sent, test.sent)
		}
		if end.Read > test.read || end.Kept > uint64(test.old.Same*blocks+0.5)<<20 || (end.Kept == 0) != (test.old.Same == 0) {
			t.Errorf("%s: %d blocks read, at most %d; %d bytes kept", test.name, end.Read, test.read, end.Kept)
		}
	}
}

func common(d OldContent) *OldContent {
	d.Common = true
	return &d
}
