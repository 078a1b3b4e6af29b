package multiserver

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is what each folder may import from the project. ARCHITECTURE.md has the layers.
// Tests may import more, to put things together.
var mayImport = map[string][]string{
	".": {"internal/account", "internal/blockstore", "internal/diagnose", "internal/discover", "internal/failure", "internal/fetch", "internal/format", "internal/host",
		"internal/image", "internal/legacy", "internal/mxb1", "internal/netcheck", "internal/packed", "internal/quote", "internal/reach", "internal/roster", "internal/routes",
		"internal/session", "internal/signing", "internal/startgate", "internal/statement", "internal/target", "internal/udp", "internal/usedblocks", "internal/wire"},
	"internal/fetch": {"internal/account", "internal/block", "internal/codec", "internal/discover", "internal/failure", "internal/fec", "internal/memory", "internal/probe",
		"internal/quote", "internal/reach", "internal/receiver", "internal/seed", "internal/statement", "internal/target", "internal/twins", "internal/udp", "internal/wire", "internal/writer"},
	"internal/discover": {"internal/account", "internal/codec", "internal/failure", "internal/format", "internal/mxb1", "internal/quote", "internal/twins", "internal/udp", "internal/wire"},
	"internal/diagnose": {"internal/account", "internal/discover", "internal/failure", "internal/format", "internal/image", "internal/mxb1", "internal/netcheck", "internal/packed", "internal/probe",
		"internal/quote", "internal/target", "internal/udp", "internal/wire"},
	"internal/writer":  {"internal/account", "internal/block", "internal/codec", "internal/failure", "internal/quote", "internal/target"},
	"internal/account": {},
	"internal/reach":   {"internal/wire"},
	"internal/seed":    {"internal/block", "internal/codec", "internal/wire"},
	"internal/host":    {"internal/legacy", "internal/mxb1", "internal/session", "internal/transmit", "internal/udp", "internal/wire"},
	"internal/session": {"internal/block", "internal/blockstore", "internal/codec", "internal/congestion", "internal/failure", "internal/format", "internal/guard", "internal/image",
		"internal/memory", "internal/partition", "internal/probe", "internal/roster", "internal/routes", "internal/sender", "internal/startgate", "internal/transmit", "internal/twins", "internal/udp", "internal/wire"},
	"internal/legacy": {"internal/account", "internal/block", "internal/discover", "internal/failure", "internal/guard", "internal/image", "internal/mxb1", "internal/quote", "internal/reach",
		"internal/roster", "internal/target", "internal/transmit", "internal/udp", "internal/writer"},
	"internal/blockstore": {"internal/atomicfile", "internal/block", "internal/codec", "internal/failure", "internal/fec", "internal/image", "internal/memory", "internal/sender", "internal/wire"},
	"internal/transmit":   {"internal/memory", "internal/udp"},
	"internal/block":      {},
	"internal/failure":    {},
	"internal/format":     {},
	"internal/quote":      {},
	"internal/twins":      {"internal/quote"},
	"internal/udp":        {"internal/memory"},
	"internal/memory":     {},
	"internal/netcheck":   {},
	"internal/fec":        {},
	"internal/codec":      {"internal/block"},
	"internal/wire":       {"internal/block", "internal/format"},
	"internal/sender":     {"internal/block", "internal/wire"},
	"internal/congestion": {"internal/wire"},
	"internal/receiver":   {"internal/block", "internal/wire"},
	"internal/image":      {"internal/block", "internal/format", "internal/quote"},
	"internal/packed":     {"internal/block", "internal/codec", "internal/failure", "internal/image", "internal/quote"},
	"internal/mxb1":       {"internal/block"},
	"internal/probe":      {"internal/wire"},
	"internal/roster":     {"internal/block", "internal/wire"},
	"internal/routes":     {"internal/wire"},
	"internal/startgate":  {"internal/wire"},
	"internal/guard":      {"internal/wire"},
	"internal/partition":  {},
	"internal/atomicfile": {},
	"internal/statement":  {"internal/atomicfile", "internal/block", "internal/codec", "internal/quote"},
	"internal/signing": {"internal/block", "internal/blockstore", "internal/codec", "internal/failure", "internal/image", "internal/packed", "internal/partition", "internal/quote",
		"internal/statement", "internal/usedblocks"},
	"internal/usedblocks":  {"internal/image", "internal/partition", "internal/quote", "internal/target"},
	"internal/signature":   {"internal/partition"},
	"internal/target":      {"internal/block", "internal/codec", "internal/format", "internal/memory", "internal/partition", "internal/quote", "internal/signature"},
	"internal/progress":    {".", "internal/quote"},
	"cmd/internal/command": {".", "internal/memory", "internal/progress", "internal/quote"},
	"cmd/multiserver": {".", "internal/atomicfile", "internal/codec", "internal/format", "internal/image", "internal/packed", "internal/progress", "internal/quote",
		"internal/signing", "internal/statement", "internal/usedblocks", "cmd/internal/command"},
	"cmd/multiclient": {".", "internal/progress", "internal/quote", "cmd/internal/command"},
	// For tests and benchmarks only: no program imports them.
	"internal/simnet":        {},
	"internal/simnet/matrix": {"internal/simnet/path"},
	"internal/simnet/path":   {"internal/block", "internal/congestion", "internal/mxb1", "internal/receiver", "internal/sender", "internal/simnet", "internal/wire"},
	"internal/simnet/room": {"internal/block", "internal/codec", "internal/guard", "internal/probe", "internal/reach", "internal/receiver", "internal/roster", "internal/routes",
		"internal/seed", "internal/sender", "internal/simnet", "internal/startgate", "internal/wire"},
	"internal/simnet/table":          {"internal/block", "internal/simnet", "internal/simnet/room", "internal/wire"},
	"internal/lab":                   {},
	"internal/lab/rooms":             {},
	"internal/lab/machine":           {"internal/lab"},
	"internal/lab/machine/fetch":     {"internal/lab/machine"},
	"internal/target/loopdev":        {},
	"internal/demo":                  {},
	"internal/lab/bench":             {"internal/lab", "internal/udp"},
	"internal/original":              {},
	"internal/original/cmd/original": {"internal/original"},
}

// layers are those of ARCHITECTURE.md, from the ground up. A package imports none of a
// layer above its own.
var layers = [][]string{
	{"internal/account", "internal/atomicfile", "internal/block", "internal/codec", "internal/failure", "internal/fec", "internal/format", "internal/image", "internal/memory", "internal/packed", "internal/partition",
		"internal/quote", "internal/signature", "internal/statement", "internal/target", "internal/target/loopdev", "internal/twins", "internal/udp", "internal/usedblocks", "internal/wire"},
	engines,
	{"internal/blockstore", "internal/diagnose", "internal/discover", "internal/fetch", "internal/host", "internal/legacy", "internal/netcheck",
		"internal/session", "internal/signing", "internal/transmit", "internal/writer"},
	{"."},
	{"internal/progress"},
	{"cmd/internal/command", "cmd/multiserver", "cmd/multiclient"},
	{"internal/demo", "internal/lab", "internal/lab/bench", "internal/lab/machine", "internal/lab/machine/fetch", "internal/lab/rooms", "internal/original", "internal/original/cmd/original",
		"internal/simnet", "internal/simnet/matrix", "internal/simnet/path", "internal/simnet/room", "internal/simnet/table"},
}

func layerOf(t *testing.T, folder string) int {
	for n, layer := range layers {
		if slices.Contains(layer, folder) {
			return n
		}
	}
	t.Errorf("%s is in no layer", folder)
	return 0
}

// TestLayers: the table itself goes down only.
func TestLayers(t *testing.T) {
	for folder, imports := range mayImport {
		own := layerOf(t, folder)
		for _, other := range imports {
			if layerOf(t, other) > own {
				t.Errorf("%s may import %s, which is above it", folder, other)
			}
		}
	}
}

// engines are the files that decide and do nothing themselves: no clock, no
// goroutine, no channel, no socket, no file, no global randomness.
var engines = []string{"internal/mxb1", "internal/probe", "internal/reach", "internal/receiver", "internal/roster", "internal/routes",
	"internal/seed", "internal/sender", "internal/startgate", "internal/congestion", "internal/guard"}

func TestLayout(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() != "." && strings.HasPrefix(d.Name(), ".") || d != nil && d.Name() == "tools" {
				return fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		folder := filepath.ToSlash(filepath.Dir(path))
		seen[folder] = true
		allowed, known := mayImport[folder]
		if !known {
			t.Errorf("%s: the table of packages does not know its folder", path)
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if imported == "multiserver" {
				imported = "multiserver/."
			}
			if own, ok := strings.CutPrefix(imported, "multiserver/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which the table does not allow", path, imported)
			}
		}
		if slices.Contains(engines, folder) || folder == "internal/block" {
			checkPure(t, path, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder := range mayImport {
		if !seen[folder] {
			t.Errorf("the table names %s, where there is no code", folder)
		}
	}
}

func checkPure(t *testing.T, path string, file *ast.File) {
	for _, spec := range file.Imports {
		switch imported, _ := strconv.Unquote(spec.Path.Value); imported {
		case "net", "os", "sync", "math/rand", "log", "log/slog", "context", "io":
			t.Errorf("%s imports %s: an engine decides, and a driver does", path, imported)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
			t.Errorf("%s has a goroutine or a channel: an engine has none", path)
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" {
				switch n.Sel.Name {
				case "Now", "Since", "Until", "Sleep", "After", "NewTimer", "NewTicker", "Tick", "AfterFunc":
					t.Errorf("%s calls time.%s: an engine is told the time", path, n.Sel.Name)
				}
			}
		}
		return true
	})
}
