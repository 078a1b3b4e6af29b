package multiserver

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestNullTarget: what goes to the null device is received and verified, over both protocols, and
// the client says that nothing was kept. Nothing can be read back from it.
func TestNullTarget(t *testing.T) {
	r := newRoom(t, 5<<20+777)
	r.serve(r.serverConfig())
	for _, mxb1 := range []MXB1Mode{MXB1Auto, MXB1Only} {
		cfg := r.clientConfig(os.DevNull)
		cfg.MXB1 = mxb1
		c, err := NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := c.Stats(); !s.Discarded || s.BytesDone != uint64(len(r.bytes)) || s.Output != os.DevNull {
			t.Errorf("MXB 1 %v: %+v", mxb1, s)
		}
	}
	cfg := r.clientConfig(os.DevNull)
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if plan, err := c.Plan(t.Context()); err != nil || plan.Kind != OutputNull || !strings.Contains(plan.String(), "which keeps nothing") {
		t.Errorf("the plan is %v, %v", plan, err)
	}
	cfg.Verify = true
	if c, err = NewClient(cfg); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); !errors.Is(err, ErrTargetRefused) {
		t.Errorf("with Verify: %v", err)
	}
}
