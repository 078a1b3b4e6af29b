package usedblocks

import (
	"errors"
	"fmt"

	"multiserver/internal/quote"
)

// Lines tell a person what of the image is used, and what is sent whole and why: one line for
// each part.
func (m *Map) Lines() []string {
	if m.Whole != nil {
		return []string{fmt.Sprintf("all of the image is sent: %v", m.Whole)}
	}
	var lines []string
	for _, p := range m.Parts {
		lines = append(lines, p.line())
	}
	return lines
}

func (p Part) line() string {
	name := "the image"
	if p.Number != 0 {
		name = fmt.Sprintf("partition %d", p.Number)
	}
	if p.Volume != "" {
		name += ", volume " + quote.Name(p.Volume)
	}
	if p.Kind != "" {
		name += " (" + p.Kind + ")"
	}
	switch {
	case errors.Is(p.Why, ErrUnknown):
		return fmt.Sprintf("%s, %s: all of it is sent: %v", name, sizeText(p.Size), p.Why)
	case p.Why != nil:
		return fmt.Sprintf("%s, %s: all of it is sent, also what is unused: %v", name, sizeText(p.Size), p.Why)
	}
	return fmt.Sprintf("%s: %s of %s are used; the rest is zeros for clients", name, sizeText(p.Used), sizeText(p.Size))
}

// sizeText is a size in units of 1000, with three digits.
func sizeText(n uint64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	f, u := float64(n), 0
	for f >= 999.5 && u < len(units)-1 {
		f /= 1000
		u++
	}
	return fmt.Sprintf("%.3g %s", f, units[u])
}
