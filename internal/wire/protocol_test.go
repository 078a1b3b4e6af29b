package wire

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestProtocolPrintsVectors: what docs/protocol.md prints of MXB 2 is what the tests of
// wire, codec and fec hold the code against, and no vector is left out.
func TestProtocolPrintsVectors(t *testing.T) {
	want := readVectors("../codec/testdata/vectors.txt")
	for name, b := range vectors {
		if want[name] != nil {
			t.Errorf("wire and codec both have a vector %q", name)
		}
		want[name] = b
	}
	printed, files := map[string]bool{}, map[string]bool{}
	for _, f := range protocolBlocks(t) {
		if m := vectorTitle.FindStringSubmatch(f.title); m != nil {
			name := m[1]
			got, err := hex.DecodeString(strings.Join(strings.Fields(f.text), ""))
			if err != nil || !bytes.Equal(got, want[name]) || strconv.Itoa(len(got)) != m[2] {
				t.Errorf("%s: printed %d bytes, %v\n%x, want\n%x", f.title, len(got), err, got, want[name])
			}
			if printed[name] {
				t.Errorf("vector %q is printed twice", name)
			}
			printed[name] = true
		}
		if m := fecFile.FindStringSubmatch(f.title); m != nil {
			files[m[1]] = true
			checkExcerpt(t, "../fec/testdata/"+m[1], f.text)
		}
	}
	for name := range want {
		if !printed[name] {
			t.Errorf("vector %q is not printed", name)
		}
	}
	for _, name := range []string{"coefficients.txt", "blocks.txt"} {
		if !files[name] {
			t.Errorf("nothing of fec's %s is printed", name)
		}
	}
}

// TestProtocolNamesTypes: each type in docs/protocol.md's table has a vector, and each vector
// a type in the table.
func TestProtocolNamesTypes(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| type | packet | from | to |")
	table, _, _ = strings.Cut(table, "\n\n")
	named := map[Type]bool{}
	for _, m := range typeRow.FindAllStringSubmatch(table, -1) {
		number, err := strconv.ParseUint(m[1], 0, 8)
		if err != nil {
			t.Fatal(err)
		}
		named[Type(number)] = false
	}
	for name, b := range vectors {
		if strings.HasSuffix(name, "offer") { // which has no type
			continue
		}
		if _, ok := named[Type(b[1])]; !ok {
			t.Errorf("the table lacks type %#x of vector %q", b[1], name)
		}
		named[Type(b[1])] = true
	}
	for number, has := range named {
		if !has {
			t.Errorf("type %#x has no vector", number)
		}
	}
}

var (
	typeRow     = regexp.MustCompile(`(?m)^\| (0x[0-9a-f]+|[0-9]+) \|`)
	vectorTitle = regexp.MustCompile("^Vector `(.+)`, ([0-9]+) bytes?:$")
	fecFile     = regexp.MustCompile("`internal/fec/testdata/([a-z]+\\.txt)`")
)

// checkExcerpt expects the lines of text in a file, in the same order: a repair
// symbol belongs to the block above it.
func checkExcerpt(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rest := strings.Split(string(b), "\n")
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		i := slices.Index(rest, line)
		if i < 0 {
			t.Errorf("%s has no line %q, or not there", path, line)
			continue
		}
		rest = rest[i+1:]
	}
}

// fenced is a block of docs/protocol.md between ``` lines, and the last line of text
// above it.
type fenced struct{ title, text string }

// protocolBlocks returns those of the part on MXB 2.
func protocolBlocks(t *testing.T) (blocks []fenced) {
	t.Helper()
	b, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	var title string
	inPart, inBlock := false, false
	for line := range strings.Lines(string(b)) {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "## "):
			inPart = trimmed == "## MXB 2"
		case !inPart:
		case strings.HasPrefix(line, "```"):
			if inBlock = !inBlock; inBlock {
				blocks = append(blocks, fenced{title: title})
			}
		case inBlock:
			blocks[len(blocks)-1].text += line
		case trimmed != "":
			title = trimmed
		}
	}
	if len(blocks) == 0 {
		t.Fatal("docs/protocol.md has no part on MXB 2 with anything printed")
	}
	return blocks
}
