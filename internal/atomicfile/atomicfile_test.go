package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWrite: the file has its bytes and its mode, also in the place of another one, and nothing else
// is left in the folder, whether or not it could be written.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, step := range []struct {
		text string
		mode os.FileMode
	}{{"first", 0o600}, {"second, longer", 0o644}, {"", 0o600}} {
		if err := Write(path, []byte(step.text), step.mode, true); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		info, _ := os.Stat(path)
		if err != nil || string(b) != step.text || info.Mode() != step.mode {
			t.Errorf("%q, %v, %v", b, info.Mode(), err)
		}
	}
	folder := filepath.Join(filepath.Dir(path), "folder")
	if err := os.MkdirAll(filepath.Join(folder, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(folder, nil, 0o600, false); err == nil {
		t.Error("a folder is replaced")
	}
	if err := Write(filepath.Join(path, "y"), nil, 0o600, false); err == nil {
		t.Error("a file below a file is written")
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 2 {
		t.Errorf("in the folder: %v", files)
	}
}
