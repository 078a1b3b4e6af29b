package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestBuildPrograms(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the Go toolchain in PATH:", err)
	}
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module example\n")
	write(t, filepath.Join(root, "cmd/multiserver/main.go"), `package main; func main() { println("server") }`)
	write(t, filepath.Join(root, "cmd/multiclient/main.go"), `package main; func main() { println("client") }`)
	below := filepath.Join(root, "cmd", "multiclient")
	t.Chdir(below)

	programs, err := BuildPrograms(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{programs.Server: "server\n", programs.Client: "client\n"} {
		if output, err := exec.Command(path).CombinedOutput(); err != nil || string(output) != want {
			t.Errorf("%s says %q (%v), want %q", path, output, err, want)
		}
	}

	write(t, filepath.Join(below, "main.go"), "package main; wrong")
	if _, err := BuildPrograms(t.TempDir()); err == nil || !strings.Contains(err.Error(), "main.go") {
		t.Errorf("a program that does not compile: %v", err)
	}
	t.Setenv("PATH", "")
	if _, err := BuildPrograms(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not in PATH") {
		t.Errorf("without a toolchain: %v", err)
	}
	t.Chdir("/")
	if _, err := BuildPrograms(t.TempDir()); err == nil || !strings.Contains(err.Error(), "go.mod") {
		t.Errorf("outside of a module: %v", err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
