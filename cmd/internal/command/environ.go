package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// fromEnviron sets each flag that was not given from its variable: --start-timeout
// of multiclient is MULTICLIENT_START_TIMEOUT. environ is as from os.Environ. An empty
// variable counts as unset. A variable that names no flag is ignored: Kubernetes sets
// MULTISERVER_SERVICE_HOST for a service of that name. set has the names of the flags that
// it set. The error names the variable.
func fromEnviron(flags *pflag.FlagSet, program string, environ []string) (set map[string]bool, err error) {
	set = map[string]bool{}
	prefix := strings.ToUpper(program) + "_"
	// Sorted, so that of two names of one flag the same one always wins.
	for _, v := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(v, "=")
		word, ours := strings.CutPrefix(name, prefix)
		if !ours || value == "" || word != strings.ToUpper(word) {
			continue
		}
		flag := flags.Lookup(strings.ReplaceAll(strings.ToLower(word), "_", "-"))
		if flag == nil || flag.Changed || flag.Name == "help" || flag.Name == "version" {
			continue
		}
		if err := flag.Value.Set(value); err != nil {
			return nil, fmt.Errorf("the variable %s=%s: %w", name, value, err)
		}
		set[flag.Name] = true
	}
	return set, nil
}
