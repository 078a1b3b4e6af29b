package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"multiserver"
)

// TestDiagnose: what is printed of findings, as text and as objects, and the status.
func TestDiagnose(t *testing.T) {
	fine := multiserver.Finding{Level: multiserver.FindingOK, What: "pace", Text: "900 Mbit/s, by ServerConfig.RateBitsPerSec"}
	wrong := multiserver.Finding{Level: multiserver.FindingWrong, What: "MTU", Text: "9000 bytes do not arrive", Advice: "leave out ServerConfig.MTU"}
	const (
		fineLine    = "ok    pace: 900 Mbit/s, by --rate\n"
		wrongLine   = "WRONG MTU: 9000 bytes do not arrive: leave out --mtu\n"
		wrongObject = `{"level":"WRONG","what":"MTU","finding":"9000 bytes do not arrive","advice":"leave out --mtu"}` + "\n"
	)
	for _, c := range []struct {
		name     string
		output   Output
		findings []multiserver.Finding
		err      error
		printed  string
		status   int    // with which the program ends
		usage    string // or the error of usage
	}{
		{"all is well", Output{}, []multiserver.Finding{fine}, nil, fineLine, 0, ""},
		{"not all", Output{}, []multiserver.Finding{wrong, fine}, nil, wrongLine + fineLine, 1, ""},
		{"quiet", Output{Quiet: true}, []multiserver.Finding{fine, wrong}, nil, wrongLine, 1, ""},
		{"objects", Output{JSON: true, Quiet: true}, []multiserver.Finding{fine, wrong}, nil, wrongObject, 1, ""},
		{"failed", Output{}, nil, errors.New("no"), "", 1, ""},
		{"a setting", Output{}, nil, fmt.Errorf("ServerConfig.TTL: %w", multiserver.ErrConfig), "", 0, "--ttl: unusable setting"},
	} {
		file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
		if err != nil {
			t.Fatal(err)
		}
		stdout := os.Stdout
		os.Stdout = file
		err = c.output.Diagnose(func(_ context.Context, tell func(multiserver.Finding)) error {
			for _, f := range c.findings {
				tell(f)
			}
			return c.err
		})
		os.Stdout = stdout
		file.Close()
		if printed, _ := os.ReadFile(file.Name()); string(printed) != c.printed {
			t.Errorf("%s: printed %q, want %q", c.name, printed, c.printed)
		}
		var end ended
		switch {
		case c.usage != "":
			if err == nil || err.Error() != c.usage {
				t.Errorf("%s: %v, want %q", c.name, err, c.usage)
			}
		case !errors.As(err, &end) || end.status != c.status:
			t.Errorf("%s: %v, want status %d", c.name, err, c.status)
		}
	}
}
