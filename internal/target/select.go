package target

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"multiserver/internal/quote"
)

// Disk describes a block device. If a text has several spellings, the first is shown; a
// Selection accepts any.
type Disk struct {
	Name      string // the kernel's: "nvme0n1"
	Path      string // "/dev/nvme0n1"
	SizeBytes uint64
	Models    []string
	Serials   []string
	WWNs      []string
	ByPath    []string // names in /dev/disk/by-path
	// Transport is "nvme", "usb", "sata", "ata", "sas", "fc", "iscsi", "scsi", "virtio",
	// "mmc", or "" if it is none of these.
	Transport  string
	Rotational bool
	Removable  bool
	Partitions []string // the kernel's names: "nvme0n1p1"
	// Use says why it cannot be written: "/dev/nvme0n1p1 is mounted on /"; "" if it can.
	Use string
}

// Model is "" if it is unknown.
func (d Disk) Model() string { return first(d.Models) }

// Serial is "" if it is unknown.
func (d Disk) Serial() string { return first(d.Serials) }

func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}

// String is one line: "465.8 GiB Samsung SSD 860, serial S3Z, sata".
func (d Disk) String() string {
	line := fmt.Sprintf("%.1f GiB", float64(d.SizeBytes)/(1<<30))
	if d.Model() != "" {
		line += " " + d.Model()
	}
	if d.Serial() != "" {
		line += ", serial " + d.Serial()
	}
	for _, field := range []string{d.Transport, d.Use} {
		if field != "" {
			line += ", " + field
		}
	}
	return strings.Map(func(r rune) rune { // its maker chose the name
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, line)
}

// Selection says which disk is meant: all of its conditions must hold.
type Selection struct {
	text       string
	conditions []condition
}

// condition is one of a Selection, KEY OPERATOR VALUE.
type condition struct {
	key      string
	operator string // "=", or of a size ">=", "<=", ">" or "<"
	pattern  string // of texts: folded
	number   uint64 // of a size in bytes, of a switch 0 or 1
}

// texts are the keys that take a shell glob, and the texts that it is matched against.
var texts = map[string]func(Disk) []string{
	"serial":    func(d Disk) []string { return d.Serials },
	"wwn":       func(d Disk) []string { return d.WWNs },
	"path":      func(d Disk) []string { return d.ByPath },
	"model":     func(d Disk) []string { return d.Models },
	"name":      func(d Disk) []string { return []string{d.Name} },
	"transport": func(d Disk) []string { return []string{d.Transport} },
}

// switches are the keys that take 0 or 1.
var switches = map[string]func(Disk) bool{
	"rotational": func(d Disk) bool { return d.Rotational },
	"removable":  func(d Disk) bool { return d.Removable },
}

// folders may precede a key's value.
var folders = map[string]string{"path": "/dev/disk/by-path/", "name": "/dev/"}

// keys are for messages.
const keys = "serial, wwn, path, model, name, size, rotational, removable or transport"

// ParseSelection reads conditions with commas between, such as
// "size>=100G,rotational=0". Texts are shell globs without commas, compared without
// case; sizes are dd's: 100G are GiB, 100GB are 10^9 bytes each. The error names the
// condition.
func ParseSelection(expr string) (Selection, error) {
	s := Selection{text: expr}
	for text := range strings.SplitSeq(expr, ",") {
		c, err := parseCondition(strings.TrimSpace(text))
		if err != nil {
			return Selection{}, fmt.Errorf("condition %q: %w", text, err)
		}
		s.conditions = append(s.conditions, c)
	}
	return s, nil
}

func parseCondition(text string) (condition, error) {
	i := strings.IndexAny(text, "=<>")
	if i < 0 {
		return condition{}, fmt.Errorf("want KEY=VALUE, with a key of %s", keys)
	}
	c := condition{key: strings.ToLower(strings.TrimSpace(text[:i])), operator: text[i : i+1]}
	value := text[i+1:]
	if c.operator != "=" && strings.HasPrefix(value, "=") {
		c.operator, value = c.operator+"=", value[1:]
	}
	value = strings.TrimSpace(value)
	isText, isSwitch := texts[c.key] != nil, switches[c.key] != nil
	var err error
	switch {
	case !isText && !isSwitch && c.key != "size":
		return c, fmt.Errorf("there is no key %q: want %s", c.key, keys)
	case c.key != "size" && c.operator != "=":
		return c, fmt.Errorf("only a size can be compared by %s", c.operator)
	case value == "":
		return c, errors.New("it has no value")
	case isSwitch:
		if value != "0" && value != "1" {
			return c, errors.New("want 0 or 1")
		}
		c.number, err = strconv.ParseUint(value, 10, 1)
	case isText:
		c.pattern = fold(strings.TrimPrefix(value, folders[c.key]))
		if _, err := path.Match(c.pattern, ""); err != nil {
			return c, errors.New("it is no shell glob: a [ is not closed, or a \\ is the last")
		}
	default:
		c.number, err = parseSize(value)
	}
	return c, err
}

// fold maps texts that count as equal to the same text. It replaces slashes, which no * of
// path.Match would match.
func fold(text string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(text)), "/", "\x1f")
}

// parseSize reads a size in dd's units.
func parseSize(text string) (uint64, error) {
	digits := strings.TrimRight(text, "kKMGTPiB")
	n, err := strconv.ParseUint(digits, 10, 64)
	unit := uint64(1)
	switch suffix := strings.ToUpper(text[len(digits):]); {
	case err != nil:
	case suffix == "" || suffix == "B":
	default:
		base := uint64(1024)
		if len(suffix) == 2 && suffix[1] == 'B' {
			base = 1000
		} else if len(suffix) > 1 && suffix[1:] != "IB" {
			err = strconv.ErrSyntax
		}
		power := strings.IndexByte("KMGTP", suffix[0])
		if power < 0 {
			err = strconv.ErrSyntax
		}
		for range power + 1 {
			unit *= base
		}
	}
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && n > ^uint64(0)/unit:
		return 0, errors.New("the size is too large")
	case err != nil:
		return 0, errors.New("want a size such as 100G (GiB) or 100GB (10^9 bytes each)")
	}
	return n * unit, nil
}

// has reports whether there is a condition for that key.
func (s Selection) has(key string) bool {
	return slices.ContainsFunc(s.conditions, func(c condition) bool { return c.key == key })
}

// Match reports whether all conditions hold for the disk.
func (s Selection) Match(d Disk) bool {
	for _, c := range s.conditions {
		if !c.holds(d) {
			return false
		}
	}
	return true
}

func (c condition) holds(d Disk) bool {
	if of := texts[c.key]; of != nil {
		return slices.ContainsFunc(of(d), func(text string) bool {
			// Not even * matches an unknown text.
			matched, _ := path.Match(c.pattern, fold(text))
			return matched && text != ""
		})
	}
	if of := switches[c.key]; of != nil {
		return of(d) == (c.number == 1)
	}
	switch c.operator {
	case ">=":
		return d.SizeBytes >= c.number
	case "<=":
		return d.SizeBytes <= c.number
	case ">":
		return d.SizeBytes > c.number
	case "<":
		return d.SizeBytes < c.number
	}
	return d.SizeBytes == c.number
}

// ErrNoDisk: no disk matches, or the device that is meant is not there, or has no medium. It may
// still appear, for instance if its driver is loaded late.
var ErrNoDisk = errors.New("no such disk")

func notThere(name, why string) error {
	return &failure{quote.Name(name) + " is refused: " + why, ErrRefused, ErrNoDisk}
}

// Pick returns the one disk of disks that matches. If several match, the error wraps
// ErrRefused; if none does, ErrNoDisk too. candidates are the disks that match, or all disks if
// none does.
func (s Selection) Pick(disks []Disk) (picked Disk, candidates []Disk, err error) {
	var names []string
	for _, d := range disks {
		if s.Match(d) {
			candidates = append(candidates, d)
			names = append(names, d.Name)
		}
	}
	name := fmt.Sprintf("target %q", s.text)
	switch {
	case len(candidates) == 1:
		return candidates[0], nil, nil
	case len(candidates) > 1:
		return Disk{}, candidates, refused(name, fmt.Sprintf("%d disks match; add a condition: %s", len(candidates), strings.Join(names, ", ")))
	case len(disks) == 0:
		return Disk{}, nil, notThere(name, "there is no disk here")
	}
	why := fmt.Sprintf("none of %d disks matches", len(disks))
	if len(disks) == 1 {
		why = "the only disk, " + disks[0].Name + ", does not match"
	}
	for _, key := range []string{"serial", "wwn", "path"} {
		unknown := slices.DeleteFunc(slices.Clone(disks), func(d Disk) bool { return len(texts[key](d)) > 0 })
		if s.has(key) && len(unknown) > 0 {
			why += fmt.Sprintf("; no %s is known here of %s", key, unknown[0].Name)
			if len(unknown) > 1 {
				why += fmt.Sprintf(" and %d more", len(unknown)-1)
			}
		}
	}
	return Disk{}, disks, notThere(name, why)
}
