package machine

import (
	"regexp"
	"strconv"
	"strings"
)

// verdictLine is the last thing that receive.sh prints.
var verdictLine = regexp.MustCompile(`(?m)^machine: multiclient ended with status (\d+)$`)

// verdict returns the status that a machine's console tells of. ok is false if it tells of
// none, or of more than one: the machine then did something else than what it was made for.
func verdict(console string) (status int, ok bool) {
	found := verdictLine.FindAllStringSubmatch(console, -1)
	if len(found) != 1 {
		return 0, false
	}
	status, err := strconv.Atoi(found[0][1])
	return status, err == nil
}

// lastLines returns the end of what a console shows.
func lastLines(console string, most int) string {
	lines := strings.Split(strings.TrimRight(console, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
