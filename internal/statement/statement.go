package statement

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
)

const (
	// title is the first line; another number is another format.
	title = "multiserver image 1"
	// MaxNameSize is how many bytes the name of an image has at most.
	MaxNameSize = 255
	// MaxTextSize is how many bytes a statement has at most, and more than the lines below have with
	// the longest values.
	MaxTextSize = 700
	// digestPrefix names the hash function.
	digestPrefix = "blake3 "
)

// ErrMalformed is wrapped by Parse's errors.
var ErrMalformed = errors.New("malformed statement")

// Statement is what a signer says of an image.
type Statement struct {
	Name      string // by which clients ask for it: printable, no "/", no space at an end
	SizeBytes uint64
	BlockSize uint32        // bytes
	Image     codec.Digest  // the image digest
	Unused    *codec.Digest // of the map of unused blocks; nil: there is none
	Serial    uint64        // grows with each version of the image of this name
	Created   time.Time     // to the second
	Expires   time.Time     // to the day; zero: never
	Sectors   uint32        // bytes of a sector of the disk that the image is for; 0: not said
}

// Text is the statement as it is signed: one line each, in this order, optional ones left out.
func (s Statement) Text() []byte {
	var b strings.Builder
	line := func(key, value string) { fmt.Fprintf(&b, "%s: %s\n", key, value) }
	b.WriteString(title + "\n")
	line("name", s.Name)
	line("size", strconv.FormatUint(s.SizeBytes, 10))
	line("block", strconv.FormatUint(uint64(s.BlockSize), 10))
	line("digest", digestPrefix+s.Image.String())
	if s.Unused != nil {
		line("unused", digestPrefix+s.Unused.String())
	}
	line("serial", strconv.FormatUint(s.Serial, 10))
	line("created", s.Created.UTC().Format(time.RFC3339))
	if !s.Expires.IsZero() {
		line("expires", s.Expires.UTC().Format(time.DateOnly))
	}
	if s.Sectors != 0 {
		line("sectors", strconv.FormatUint(uint64(s.Sectors), 10))
	}
	return []byte(b.String())
}

// Validate checks what Text cannot say otherwise, or what no image is.
func (s Statement) Validate() error {
	g := block.Geometry{ImageSize: s.SizeBytes, BlockSize: s.BlockSize}
	if err := g.Validate(); err != nil {
		return err
	}
	if s.Serial == 0 {
		return errors.New("serial is 0: the first one is 1")
	}
	if s.Sectors != 0 && (s.Sectors < 512 || s.Sectors > 1<<16 || s.Sectors&(s.Sectors-1) != 0) {
		return fmt.Errorf("sectors of %d bytes: want a power of two from 512 to 65536", s.Sectors)
	}
	return CheckName(s.Name)
}

// Expired reports whether the last day of a statement is over, in UTC.
func (s Statement) Expired(now time.Time) bool {
	return !s.Expires.IsZero() && !now.Before(s.Expires.AddDate(0, 0, 1))
}

// CheckName tells what is wrong with an image's name.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name of the image is empty")
	case len(name) > MaxNameSize:
		return fmt.Errorf("the name of the image has %d bytes: %d at most", len(name), MaxNameSize)
	case strings.TrimSpace(name) != name || strings.HasPrefix(name, "."):
		return fmt.Errorf("the name of the image is %q: it begins or ends with a space, or begins with a dot", name)
	}
	for _, r := range name {
		if r == '/' || r == '\ufffd' || !strconv.IsPrint(r) {
			return fmt.Errorf("the name of the image is %q: no \"/\", and only what can be printed", name)
		}
	}
	return nil
}

// Parse reads a statement. It accepts nothing but what Text writes, so that no two texts mean the
// same.
func Parse(text []byte) (Statement, error) {
	if len(text) > MaxTextSize {
		return Statement{}, fmt.Errorf("%w: %d bytes, %d at most", ErrMalformed, len(text), MaxTextSize)
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	if first != title {
		if strings.HasPrefix(first, "multiserver image ") {
			return Statement{}, fmt.Errorf("%w: version %q, this program knows %q", ErrMalformed, first, title)
		}
		return Statement{}, fmt.Errorf("%w: it does not begin with %q", ErrMalformed, title)
	}
	var s Statement
	for line := range strings.Lines(rest) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if err := s.set(key, value); err != nil {
			return Statement{}, fmt.Errorf("%w: line %q: %w", ErrMalformed, strings.TrimSuffix(line, "\n"), err)
		}
	}
	if err := s.Validate(); err != nil {
		return Statement{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if string(s.Text()) != string(text) {
		return Statement{}, fmt.Errorf("%w: lines are missing, twice there, or in another order", ErrMalformed)
	}
	return s, nil
}

func (s *Statement) set(key, value string) (err error) {
	switch key {
	case "name":
		s.Name = value
	case "size":
		s.SizeBytes, err = strconv.ParseUint(value, 10, 64)
	case "block":
		s.BlockSize, err = parse32(value)
	case "digest":
		s.Image, err = parseDigest(value)
	case "unused":
		var d codec.Digest
		d, err = parseDigest(value)
		s.Unused = &d
	case "serial":
		s.Serial, err = strconv.ParseUint(value, 10, 64)
	case "created":
		s.Created, err = time.Parse(time.RFC3339, value)
	case "expires":
		s.Expires, err = time.Parse(time.DateOnly, value)
	case "sectors":
		s.Sectors, err = parse32(value)
	default:
		err = errors.New("this program does not know what it says")
	}
	return err
}

func parse32(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

func parseDigest(s string) (d codec.Digest, err error) {
	text, ok := strings.CutPrefix(s, digestPrefix)
	if !ok {
		return d, fmt.Errorf("not a digest of BLAKE3")
	}
	return codec.ParseDigest(text)
}
