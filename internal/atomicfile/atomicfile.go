// Package atomicfile writes files that are there whole or not at all.
package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Durable says whether what was written must survive a power failure.
type Durable bool

// Write writes a file of that mode under another name in the same folder, and gives it its name
// once it is whole. What the file held before stays until then. The error is that of the operating
// system, with its path.
func Write(path string, b []byte, mode fs.FileMode, durable Durable) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".multiserver-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already, once it has its name
	defer f.Close()
	if _, err = f.Write(b); err == nil {
		err = f.Chmod(mode)
	}
	if err == nil && bool(durable) {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
