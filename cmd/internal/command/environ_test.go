package command

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		name    string
		args    []string
		environ []string
		rate    uint64
		start   time.Duration
		force   bool
		err     string // part of the error
	}{
		{name: "nothing", start: time.Minute},
		{name: "a variable each", environ: []string{"MULTICLIENT_START_TIMEOUT=5", "MULTICLIENT_FORCE=1", "MULTICLIENT_RATE=1M"},
			start: 5 * time.Second, force: true, rate: 1e6},
		{name: "a flag wins", args: []string{"--start-timeout", "7"}, environ: []string{"MULTICLIENT_START_TIMEOUT=5"},
			start: 7 * time.Second},
		{name: "a flag wins over nonsense", args: []string{"--start-timeout=7"}, environ: []string{"MULTICLIENT_START_TIMEOUT=x"},
			start: 7 * time.Second},
		{name: "the alias", environ: []string{"MULTICLIENT_MAX_BITRATE=70m"}, start: time.Minute, rate: 70e6},
		{name: "the flag's own name wins over the alias", environ: []string{"MULTICLIENT_RATE=1M", "MULTICLIENT_MAX_BITRATE=70m"},
			start: time.Minute, rate: 1e6},
		{name: "a flag wins by its alias", args: []string{"--max-bitrate", "2M"}, environ: []string{"MULTICLIENT_RATE=1M"},
			start: time.Minute, rate: 2e6},
		{name: "an empty one is unset", environ: []string{"MULTICLIENT_START_TIMEOUT="}, start: time.Minute},
		{name: "somebody else's", environ: []string{"MULTICLIENT_SERVICE_HOST=x", "multiclient_rate=x", "MULTICLIENT_rate=x", "MULTICLIENT_=x", "RATE=x", "MULTISERVER_RATE=x", "MULTICLIENT_RATE"},
			start: time.Minute},
		{name: "a bad value names the variable", environ: []string{"MULTICLIENT_START_TIMEOUT=soon"}, err: "MULTICLIENT_START_TIMEOUT=soon: want a number"},
		{name: "a bad switch", environ: []string{"MULTICLIENT_FORCE=perhaps"}, err: "MULTICLIENT_FORCE=perhaps"},
	} {
		var rate uint64
		var force bool
		start := time.Minute
		command := New(Text{Name: "multiclient"}, nil)
		command.Alias("max-bitrate", "rate")
		command.Add("All", func(f *pflag.FlagSet) {
			f.Var(Value(&rate, ParseRate, "BITS", ""), "rate", "")
			f.Var(Value(&start, ParseLimit(-1), "TIME", "60s"), "start-timeout", "")
			f.BoolVar(&force, "force", false, "")
		})
		flags := command.Flags()
		if err := flags.Parse(c.args); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_, err := fromEnviron(flags, "multiclient", c.environ)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if rate != c.rate || start != c.start || force != c.force {
			t.Errorf("%s: rate %d, start %v, force %v; want %d, %v, %v", c.name, rate, start, force, c.rate, c.start, c.force)
		}
	}
}
