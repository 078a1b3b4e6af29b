package packed

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"multiserver/internal/quote"
)

// output is a file in the making, under another name in the folder that it will be in.
type output struct {
	*os.File
	path string // that it will have
}

// create begins a file that will be at path. Unless force says otherwise, no other file is replaced,
// or only one that is a packed image, as packed says.
func create(path string, force, packed bool) (*output, error) {
	if err := checkReplace(path, force, packed); err != nil {
		return nil, err
	}
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	// Short enough for every file system, whatever the name is.
	name := ".multiserver-" + hex.EncodeToString(random)
	f, err := os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("create a file beside %s: %w", quote.Name(path), quote.Error(err))
	}
	return &output{f, path}, nil
}

func checkReplace(path string, force, packed bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return quote.Error(err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", quote.Name(path))
	case force:
		return nil
	case !packed:
		return fmt.Errorf("%s is there already: remove it, or add --force to replace it", quote.Name(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return quote.Error(err)
	}
	defer f.Close()
	head := make([]byte, HeadSize)
	if _, err := io.ReadFull(f, head); err != nil || !IsPacked(head) {
		return fmt.Errorf("%s is there already and is no packed image: remove it, or add --force to replace it", quote.Name(path))
	}
	return nil
}

// sync waits until all is on the disk.
func (o *output) sync() error {
	if err := o.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", quote.Name(o.path), quote.Error(err))
	}
	return nil
}

// publish gives the file its name, also after a power failure.
func (o *output) publish() error {
	err := os.Rename(o.Name(), o.path)
	if err == nil {
		err = syncFolder(filepath.Dir(o.path))
	}
	if err != nil {
		return fmt.Errorf("give %s its name: %w", quote.Name(o.path), quote.Error(err))
	}
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// discard closes the file, and removes it unless it was published.
func (o *output) discard() {
	o.Close()
	os.Remove(o.Name())
}
