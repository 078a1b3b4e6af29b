package path

import (
	"os"
	"testing"
	"time"
)

func TestTrace(t *testing.T) {
	for _, c := range append(Matrix(), Special()...) {
		if c.Name != os.Getenv("CELL") {
			continue
		}
		s := newSim(c.Config)
		for !s.over() && s.now < 40*time.Second {
			s.step()
			if s.now%(200*time.Millisecond) == 0 {
				st := ""
				for _, v := range s.nodes {
					st += " " + time.Duration(v.engine.Missing()).String()
				}
				t.Logf("%6d rate %.2f allowed %.2g seq %d awake %v recv %d%s over %.2g %s", s.now.Milliseconds(), s.decision.Rate/1e6, s.allowed, s.sequence, s.awake, s.sender.Receivers(), st, s.result.OverBy, s.decision.Reason)
			}
		}
	}
}
