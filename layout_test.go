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

// mayImport is the table of ARCHITECTURE.md: what each folder may import from the
// project. Tests may import more, to put things together.
var mayImport = map[string][]string{
	".": {"internal/block", "internal/codec", "internal/fec", "internal/image", "internal/mxb1", "internal/netcheck", "internal/partition", "internal/receiver",
		"internal/sender", "internal/target", "internal/udp", "internal/wire"},
	"internal/block":       {},
	"internal/udp":         {},
	"internal/netcheck":    {},
	"internal/fec":         {},
	"internal/codec":       {},
	"internal/wire":        {"internal/block"},
	"internal/sender":      {"internal/block", "internal/wire"},
	"internal/receiver":    {"internal/block", "internal/wire"},
	"internal/image":       {"internal/block"},
	"internal/mxb1":        {"internal/block"},
	"internal/partition":   {},
	"internal/target":      {"internal/block", "internal/partition"},
	"internal/progress":    {"."},
	"cmd/internal/command": {".", "internal/progress"},
	"cmd/multiserver":      {".", "internal/progress", "cmd/internal/command"},
	"cmd/multiclient":      {".", "internal/progress", "cmd/internal/command"},
	// For tests and benchmarks only: no program imports them.
	"internal/simnet":                {},
	"internal/simnet/room":           {"internal/block", "internal/receiver", "internal/sender", "internal/simnet", "internal/wire"},
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

// engines are the files that decide and do nothing themselves: no clock, no
// goroutine, no channel, no socket, no file, no global randomness.
var engines = []string{"internal/block", "internal/mxb1", "internal/sender", "internal/receiver"}

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
		if slices.Contains(engines, folder) {
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
