package machine

import "testing"

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name, console string
		status        int
		ok            bool
	}{
		{"success", "multiclient: done\nmachine: multiclient ended with status 0\n", 0, true},
		{"failure", "machine: multiclient ended with status 130\n", 130, true},
		{"nothing", "", 0, false},
		{"cut off", "machine: multiclient ended with status", 0, false},
		{"in another line", "echo machine: multiclient ended with status 0\n", 0, false},
		{"twice", "machine: multiclient ended with status 0\nmachine: multiclient ended with status 0\n", 0, false},
		{"no number of a status", "machine: multiclient ended with status 99999999999999999999\n", 0, false},
	} {
		status, ok := verdict(c.console)
		if ok != c.ok || ok && status != c.status {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, status, ok, c.status, c.ok)
		}
	}
}

func TestLastLines(t *testing.T) {
	for _, c := range []struct{ console, want string }{
		{"", ""},
		{"a\nb\n", "a\nb"},
		{"a\nb\nc\n", "b\nc"},
	} {
		if got := lastLines(c.console, 2); got != c.want {
			t.Errorf("of %q: %q, want %q", c.console, got, c.want)
		}
	}
}
