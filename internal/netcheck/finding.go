// Package netcheck looks at what of a host's own settings keeps multicast away: its
// interfaces' speed, routes, kernel settings, firewall. It changes nothing and sends
// nothing. What it cannot see, it says; on other systems than Linux it sees nothing.
//
// Each function looks at one thing and returns findings: lines for a person.
package netcheck

import "fmt"

// Level is how bad a finding is.
type Level string

// The levels.
const (
	OK    Level = "ok"
	Note  Level = "note"  // worth knowing; it may work all the same
	Wrong Level = "WRONG" // it will not work, or not well
)

// Finding is what was found of one thing, and what to do.
type Finding struct {
	Level  Level  `json:"level"`
	What   string `json:"what"`    // what was looked at, one or two words
	Text   string `json:"finding"` // half a sentence
	Advice string `json:"advice,omitempty"`
}

// String is the finding as a line without its end.
func (f Finding) String() string {
	line := fmt.Sprintf("%-5s %s: %s", f.Level, f.What, f.Text)
	if f.Advice != "" {
		line += ": " + f.Advice
	}
	return line
}
