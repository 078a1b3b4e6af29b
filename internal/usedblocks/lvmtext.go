package usedblocks

import (
	"slices"
	"strconv"
	"strings"
)

// The text of LVM's metadata: sections of values and sections. A value is a number, a string, or a
// list of them in brackets. # begins a comment.

const (
	maxLVMDepth    = 8
	maxLVMSections = 1 << 14
)

// lvmSection is a section; the zero one is empty.
type lvmSection struct {
	name     string
	values   []lvmSetting
	sections []*lvmSection
}

type lvmSetting struct {
	name string
	list []lvmValue
}

type lvmValue struct {
	text   string // "" if it is a number
	number uint64
}

// parseLVM reads a text; its top level is a section without a name.
func parseLVM(text []byte) (*lvmSection, error) {
	p := &lvmParser{rest: string(text)}
	top := &lvmSection{}
	if !p.section(top, 0) {
		return nil, errLVMDamaged
	}
	return top, nil
}

type lvmParser struct {
	rest     string
	sections int
}

// skip skips blanks and comments.
func (p *lvmParser) skip() {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n\x00")
		if !strings.HasPrefix(p.rest, "#") {
			return
		}
		_, p.rest, _ = strings.Cut(p.rest, "\n")
	}
}

// is takes a character if it comes next.
func (p *lvmParser) is(c string) bool {
	p.skip()
	if !strings.HasPrefix(p.rest, c) {
		return false
	}
	p.rest = p.rest[len(c):]
	return true
}

// section reads values and sections until the brace that ends this one, or the end of the text.
func (p *lvmParser) section(into *lvmSection, depth int) bool {
	for {
		p.skip()
		if p.rest == "" {
			return depth == 0
		}
		if p.is("}") {
			return depth > 0
		}
		n := strings.IndexFunc(p.rest, func(r rune) bool { return strings.ContainsRune(" \t\r\n={}[]#\",", r) })
		if n <= 0 {
			return false
		}
		name := p.rest[:n]
		p.rest = p.rest[n:]
		if p.is("{") {
			inner := &lvmSection{name: name}
			p.sections++
			if p.sections > maxLVMSections || depth == maxLVMDepth || into.section(name) != noLVMSection || !p.section(inner, depth+1) {
				return false
			}
			into.sections = append(into.sections, inner)
			continue
		}
		if !p.is("=") {
			return false
		}
		list, ok := p.list()
		if !ok {
			return false
		}
		into.values = append(into.values, lvmSetting{name, list})
	}
}

func (p *lvmParser) list() (list []lvmValue, ok bool) {
	if !p.is("[") {
		v, ok := p.value()
		return []lvmValue{v}, ok
	}
	for !p.is("]") {
		v, ok := p.value()
		if !ok {
			return nil, false
		}
		list = append(list, v)
		if !p.is(",") {
			return list, p.is("]")
		}
	}
	return list, true
}

func (p *lvmParser) value() (lvmValue, bool) {
	if p.is(`"`) {
		for i := 0; i < len(p.rest); i++ {
			switch p.rest[i] {
			case '\\':
				i++
			case '"':
				text := p.rest[:i]
				p.rest = p.rest[i+1:]
				return lvmValue{text: text}, true
			}
		}
		return lvmValue{}, false
	}
	n := strings.IndexFunc(p.rest, func(r rune) bool { return r < '0' || r > '9' })
	if n <= 0 {
		return lvmValue{}, false
	}
	number, err := strconv.ParseUint(p.rest[:n], 10, 64)
	p.rest = p.rest[n:]
	return lvmValue{number: number}, err == nil
}

var noLVMSection = &lvmSection{}

// section is the section of a name in this one; an empty one if there is none.
func (s *lvmSection) section(name string) *lvmSection {
	for _, inner := range s.sections {
		if inner.name == name {
			return inner
		}
	}
	return noLVMSection
}

func (s *lvmSection) value(name string) []lvmValue {
	for _, v := range s.values {
		if v.name == name {
			return v.list
		}
	}
	return nil
}

// number is a setting that is one number; 0 if it is none.
func (s *lvmSection) number(name string) uint64 {
	if v := s.value(name); len(v) == 1 && v[0].text == "" {
		return v[0].number
	}
	return 0
}

func (s *lvmSection) text(name string) string {
	if v := s.value(name); len(v) == 1 {
		return v[0].text
	}
	return ""
}

func (s *lvmSection) has(name, text string) bool {
	return slices.ContainsFunc(s.value(name), func(v lvmValue) bool { return v.text == text })
}

// only reports that a list has no other texts than these.
func (s *lvmSection) only(name string, texts ...string) bool {
	for _, v := range s.value(name) {
		if !slices.Contains(texts, v.text) {
			return false
		}
	}
	return true
}
