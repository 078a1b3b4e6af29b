package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostileNames: a name with a line feed, an escape sequence and a byte that is no UTF-8 is
// quoted wherever it is printed.
func TestHostileNames(t *testing.T) {
	const name = "a\nb\x1b[2J\xff.img"
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, name), make([]byte, 3000), 0o600); err != nil {
		t.Skipf("this file system takes no such name: %v", err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const shown = `a\nb\x1b[2J\xff.img"`
	for what, c := range map[string]struct {
		args []string
		want string
	}{
		"usage":   {[]string{"-f", name, "other" + name}, `"other` + shown},
		"missing": {[]string{"no" + name}, `open image: stat "no` + shown + ": no such file"},
		"check":   {[]string{"check", "-f", name}, `file: "` + shown + " can be read"},
	} {
		cmd := exec.Command(exe, c.args...)
		cmd.Args[0], cmd.Dir = program, folder
		out := &strings.Builder{}
		cmd.Stdout, cmd.Stderr = out, out
		_ = cmd.Run() // the status is another test's
		if text := out.String(); !strings.Contains(text, c.want) || strings.Contains(text, "\x1b") || strings.Contains(text, "\xff") || strings.Contains(text, "\nb") {
			t.Errorf("%s: %q, want %q", what, text, c.want)
		}
	}
}
