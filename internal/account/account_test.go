package account

import "testing"

// TestCountsAddUp: what the control socket counts is added to what a session publishes, and
// a new session's counts take the place of those before.
func TestCountsAddUp(t *testing.T) {
	var c Client
	c.BadAnswer()
	c.Begin("out")
	c.BadAnswer() // of the search
	c.Publish(Counts{BadPackets: 2, Strangers: 3}, "the stream", false)
	c.ForeignAnswer()
	c.Publish(Counts{BadPackets: 4, Strangers: 3}, "", true)
	f := c.Figures()
	if f.BadPackets != 5 || f.Strangers != 4 || f.WaitingFor != "" || f.Output != "out" {
		t.Errorf("the figures are %+v", f)
	}
}

// TestPhaseAtTheEnd: only a client that has everything is done, and time stands still then.
func TestPhaseAtTheEnd(t *testing.T) {
	for _, complete := range []bool{false, true} {
		var c Client
		c.Begin("out")
		c.Update(func(f *Figures) { f.Phase, f.WaitingFor = Syncing, "the disk" })
		c.Publish(Counts{PacketsReceived: 1}, "the disk", complete)
		c.End(complete)
		before := c.Figures()
		if after := c.Figures(); after != before {
			t.Errorf("complete %v: %+v, then %+v", complete, before, after)
		}
		if (before.Phase == Done) != complete || before.WaitingFor != "" || before.Elapsed <= 0 {
			t.Errorf("complete %v: at the end %+v", complete, before)
		}
	}
}
