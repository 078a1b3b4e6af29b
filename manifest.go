package multiserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"

	"multiserver/internal/codec"
)

// The manifest of an image is kept in the user's cache folder, never beside the
// image: the next session with the same file knows all digests before it has read it.

// manifestPath is where the manifest of this image, in this version, is kept. A
// device's is not: nothing but its bytes tells whether they changed.
func (s *symbolServer) manifestPath() (string, error) {
	if s.source.CacheKey() == "" {
		return "", errors.New("a device's manifest is not kept")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	line, err := s.source.Identity()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(s.cfg.File)
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(path + "\x00" + line))
	return filepath.Join(cache, "multiserver", hex.EncodeToString(key[:16])+".manifest"), nil
}

// recallManifest looks for the manifest that an earlier session kept. Whatever is
// wrong with it, it is as if there were none.
func (s *symbolServer) recallManifest() {
	path, err := s.manifestPath()
	if err != nil {
		return
	}
	sizes := codec.Sizes(s.geometry)
	info, err := os.Stat(path)
	if err != nil || uint64(info.Size()) > sizes.MaxManifestSize() {
		return
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return
	}
	m, err := codec.ParseManifest(b, sizes)
	if err != nil {
		s.cfg.Log.Debug("a manifest in the cache is of no use", "path", path, "err", err)
		return
	}
	s.manifest, s.builder = m, nil
	s.group.engine.SetCompletion(s.now(), s.completion())
}

// rememberManifest keeps the manifest for the next session. Without it that one
// reads the image itself.
func (s *symbolServer) rememberManifest() {
	path, err := s.manifestPath()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = writeAtomically(path, s.manifest.Bytes())
	}
	if err != nil {
		s.cfg.Log.Debug("the manifest is not kept for the next session", "err", err)
	}
}

// forgetManifest drops what an earlier session kept and turned out to be wrong.
func (s *symbolServer) forgetManifest() {
	if path, err := s.manifestPath(); err == nil {
		os.Remove(path)
	}
}

// writeAtomically lets the file be whole or not there.
func writeAtomically(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
