package multiserver_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxReadmeLines = 200
	maxProseWidth  = 100 // columns
)

// documents returns what people read, by path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range append(paths, "README.md", "ARCHITECTURE.md", "CHANGELOG.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	return texts
}

// TestDocumentsFitTheScreen: the README is read at once, and no document is a wall of
// text. The changelog has one line an entry.
func TestDocumentsFitTheScreen(t *testing.T) {
	for path, text := range documents(t) {
		if n := strings.Count(text, "\n"); path == "README.md" && n > maxReadmeLines {
			t.Errorf("%s has %d lines, %d are allowed", path, n, maxReadmeLines)
		}
		if path == "CHANGELOG.md" {
			continue
		}
		for _, line := range prose(text) {
			if n := utf8.RuneCountInString(line.text); n > maxProseWidth {
				t.Errorf("%s:%d has %d columns, %d are allowed", path, line.number, n, maxProseWidth)
			}
		}
	}
}

type numberedLine struct {
	number int
	text   string
}

// prose returns the lines of a document without its code, tables and headings.
func prose(text string) (lines []numberedLine) {
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced, strings.HasPrefix(line, "    "), strings.HasPrefix(line, "|"), strings.HasPrefix(line, "#"):
		default:
			lines = append(lines, numberedLine{i + 1, line})
		}
	}
	return lines
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	flagName     = regexp.MustCompile("(?:^|[\\s`(\\['\"/,])--([a-z][a-z0-9-]*)")
)

// TestDocumentsLinkToFiles: each relative link names a file that is there.
func TestDocumentsLinkToFiles(t *testing.T) {
	links := 0
	for path, text := range documents(t) {
		for _, line := range prose(text) {
			for _, m := range markdownLink.FindAllStringSubmatch(line.text, -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				links++
				file, _, _ := strings.Cut(m[1], "#")
				if file == "" {
					continue
				}
				if _, err := os.Stat(filepath.Join(filepath.Dir(path), file)); err != nil {
					t.Errorf("%s:%d links to %s: %v", path, line.number, m[1], err)
				}
			}
		}
	}
	if links == 0 {
		t.Error("no link was found")
	}
}

// TestDocumentsNameFlags: each --flag in a document is one that the programs define.
func TestDocumentsNameFlags(t *testing.T) {
	defined := definedFlags(t)
	for path, text := range documents(t) {
		for i, line := range strings.Split(text, "\n") {
			for _, m := range flagName.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(defined, m[1]) {
					t.Errorf("%s:%d: no program has a flag --%s", path, i+1, m[1])
				}
			}
		}
	}
}

// definedFlags reads the names out of the calls in cmd that define flags.
func definedFlags(t *testing.T) []string {
	t.Helper()
	names := []string{"help", "version"} // the library of the flags defines them
	err := filepath.WalkDir("cmd", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse %s: %w", path, err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok {
				if name, ok := flagOf(call); ok {
					names = append(names, name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"output", "rate", "json"} {
		if !slices.Contains(names, name) {
			t.Fatalf("flags were found (%v), but not --%s", names, name)
		}
	}
	return names
}

// flagOf returns the flag that a call of pflag's BoolVar, VarP … or of Alias defines: its
// first argument that is a text.
func flagOf(call *ast.CallExpr) (string, bool) {
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	method := strings.TrimSuffix(function.Sel.Name, "P")
	if method != "Alias" && !strings.HasSuffix(method, "Var") {
		return "", false
	}
	for _, argument := range call.Args {
		if text, ok := argument.(*ast.BasicLit); ok && text.Kind == token.STRING {
			name, err := strconv.Unquote(text.Value)
			return name, err == nil && name != ""
		}
	}
	return "", false
}

var (
	ruleTitle = regexp.MustCompile(`(?m)^\*\*([JSRPU])([0-9]+)\b`)
	ruleCited = regexp.MustCompile(`\b([JSRPU][0-9]{1,2})\b`)
)

// TestProtocolNumbersRules: the rules of the protocol stand in order, none is missing,
// and those that the engines cite are there.
func TestProtocolNumbersRules(t *testing.T) {
	text, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]int{}
	for _, m := range ruleTitle.FindAllStringSubmatch(string(text), -1) {
		number, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		if number != last[m[1]]+1 {
			t.Errorf("rule %s%d stands behind %s%d", m[1], number, m[1], last[m[1]])
		}
		last[m[1]] = number
	}
	cited := 0
	for _, engine := range []string{"sender", "receiver"} {
		files, err := filepath.Glob("internal/" + engine + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(source), "\n") {
				_, comment, _ := strings.Cut(line, "//")
				for _, m := range ruleCited.FindAllStringSubmatch(comment, -1) {
					cited++
					if number, _ := strconv.Atoi(m[1][1:]); number < 1 || number > last[m[1][:1]] {
						t.Errorf("%s:%d cites %s, and docs/protocol.md has no such rule", path, i+1, m[1])
					}
				}
			}
		}
	}
	if cited == 0 {
		t.Error("no engine cites a rule")
	}
}
