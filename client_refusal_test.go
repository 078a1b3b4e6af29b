package multiserver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestNothingChanges: what ends before the first byte leaves the target as it was, and
// makes none where there was none.
func TestNothingChanges(t *testing.T) {
	const old = "what was there before, and is shorter than the image"
	for _, c := range []struct {
		name   string
		there  bool
		mode   os.FileMode
		server UnicastMode
		change func(*ClientConfig)
		want   error // nil: a plan is made, else Run returns it
	}{
		{name: "plan", there: true, mode: 0o600, change: func(*ClientConfig) {}},
		{name: "plan of a new file", change: func(*ClientConfig) {}},
		{name: "plan that would take the space", change: func(cfg *ClientConfig) { cfg.Allocate = true }},
		{
			name: "no unicast from a server that has nothing else", there: true, mode: 0o600, server: UnicastAlways,
			change: func(cfg *ClientConfig) { cfg.Unicast = UnicastNever }, want: ErrConfig,
		},
		{
			name: "verify what cannot be read", there: true, mode: 0o200,
			change: func(cfg *ClientConfig) { cfg.Verify = true }, want: ErrTargetRefused,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.there && c.mode&0o400 == 0 && os.Geteuid() == 0 {
				t.Skip("root may read everything: run this as somebody else")
			}
			r := newRoom(t, 100_000)
			serving := r.serverConfig()
			serving.Unicast = c.server
			s, _ := r.serve(serving)
			out := filepath.Join(r.dir, "out")
			if c.there {
				if err := os.WriteFile(out, []byte(old), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(out, c.mode); err != nil {
					t.Fatal(err)
				}
			}
			cfg := r.clientConfig(out)
			c.change(&cfg)
			client, err := NewClient(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if c.want != nil {
				if err := client.Run(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			} else if plan, err := client.Plan(t.Context()); err != nil || plan.Output != out || plan.SizeBytes != 100_000 || (plan.Kind == OutputFile) != c.there {
				t.Errorf("the plan is %+v, %v", plan, err)
			}
			wantRows := 0
			if c.want != nil {
				wantRows = 1
			}
			rows := s.Stats().Receivers
			if len(rows) != wantRows || wantRows == 1 && rows[0].Outcome != OutcomeRefused {
				t.Errorf("the server tells of %+v, want %d that refused", rows, wantRows)
			}
			if !c.there {
				if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("there is a file now: %v", err)
				}
				return
			}
			os.Chmod(out, 0o600)
			if got, err := os.ReadFile(out); string(got) != old {
				t.Errorf("the file holds %d bytes now, %v", len(got), err)
			}
		})
	}
}
