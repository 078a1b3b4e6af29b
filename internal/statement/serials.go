package statement

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"multiserver/internal/quote"
)

// Serials is a file with the highest serial number for each name: a line each, the number, a space
// and the name. A signer keeps one beside the secret key, a client where --trust-state says.
type Serials struct {
	Path string
}

// Last is the highest number that was kept for a name; 0 if there is none, or no file.
func (s Serials) Last(name string) (uint64, error) {
	list, err := s.read()
	return list[name], err
}

// Keep notes a number, unless a higher one is there.
func (s Serials) Keep(name string, serial uint64) error {
	list, err := s.read()
	if err != nil || list[name] >= serial {
		return err
	}
	list[name] = serial
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(list)) {
		fmt.Fprintf(&b, "%d %s\n", list[name], name)
	}
	return writeWhole(s.Path, []byte(b.String()))
}

func (s Serials) read() (map[string]uint64, error) {
	list := map[string]uint64{}
	b, err := os.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return list, nil
	}
	if err != nil {
		return nil, quote.Error(err)
	}
	for line := range strings.Lines(string(b)) {
		number, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.ParseUint(number, 10, 64)
		if err == nil {
			err = CheckName(name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: line %q is no serial number and name: %w", quote.Name(s.Path), line, err)
		}
		list[name] = n
	}
	return list, nil
}
