package blockstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"multiserver/internal/atomicfile"
	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/failure"
	"multiserver/internal/image"
	"multiserver/internal/wire"
)

// digests gathers the manifest. Once it is complete, digests compares it with what is read.
type digests struct {
	name       string                 // of the image, for messages
	builder    *codec.ManifestBuilder // nil once the manifest is complete
	manifest   *codec.Manifest        // nil before
	completion wire.Completion        // of the manifest
	file       manifestFile
	expected   *codec.Digest // of the image, if that is known before
	changed    func() error  // of the image's source
}

// manifested is a Source that knows its manifest: a packed image.
type manifested interface{ Manifest() *codec.Manifest }

func newDigests(cfg *Config) (*digests, error) {
	builder, err := codec.NewManifestBuilder(cfg.Geometry)
	if err != nil {
		return nil, err
	}
	d := &digests{name: cfg.Source.String(), builder: builder, file: newManifestFile(cfg), expected: cfg.Expected, changed: cfg.Source.Changed}
	if m := known(cfg.Source, cfg.Geometry, d.file); m != nil {
		return d, d.complete(m)
	}
	return d, nil
}

// Known returns the manifest of an image if it is known without reading the image, or nil.
func Known(source image.Source, folder string, log *slog.Logger) *codec.Manifest {
	g := block.Geometry{ImageSize: source.Size(), BlockSize: block.DefaultBlockSize}
	return known(source, g, newManifestFile(&Config{Source: source, CacheFolder: folder, Log: log}))
}

func known(source image.Source, g block.Geometry, file manifestFile) *codec.Manifest {
	if m, ok := source.(manifested); ok && m.Manifest().Geometry() == g {
		return m.Manifest()
	}
	return file.recall(g)
}

func (d *digests) complete(m *codec.Manifest) error {
	if d.expected != nil && m.ImageDigest() != *d.expected {
		return failure.New(failure.ErrIntegrity, "image %s is not what was signed: its digest is another one", d.name)
	}
	d.manifest, d.builder = m, nil
	d.completion = wire.Completion{ManifestSize: uint64(len(m.Bytes())), ImageDigest: m.ImageDigest()}
	return nil
}

// has reports whether a block's digest is known.
func (d *digests) has(id block.ID) bool { return d.builder == nil || d.builder.Has(id) }

// isZero reports whether a block is known to be zeros.
func (d *digests) isZero(id block.ID) bool {
	return d.manifest != nil && d.manifest.IsZeroBlock(id)
}

// record records the digest of a block that was read; zero says that it is zeros. It reports
// whether that completed the manifest. It fails if the block read differently before.
func (d *digests) record(id block.ID, zero bool, digest codec.Digest) (completed bool, err error) {
	if d.manifest != nil {
		if zero != d.manifest.IsZeroBlock(id) || !zero && digest != d.manifest.Digest(id) {
			d.file.forget()
			return false, fmt.Errorf("block %d of image %s reads differently than before: it %w", id, d.name, image.ErrChanged)
		}
		return false, nil
	}
	if zero {
		err = d.builder.SetZero(id)
	} else {
		err = d.builder.Set(id, digest)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", d.name, err)
	}
	if !d.builder.Complete() {
		return false, nil
	}
	// Every block was read before now: if the image is unchanged now, the manifest is that of
	// one version, and no mixture.
	if err := d.changed(); err != nil {
		return false, err
	}
	if err := d.complete(d.builder.Manifest()); err != nil {
		return false, err
	}
	d.file.remember(d.manifest)
	return true, nil
}

// manifestFile is the file in the cache for the manifest of this version of the image. Its path
// is "" if there is none.
type manifestFile struct {
	path string
	log  *slog.Logger
}

func newManifestFile(cfg *Config) manifestFile {
	f := manifestFile{log: cfg.Log}
	if key := cfg.Source.CacheKey(); key != "" && cfg.CacheFolder != "" {
		sum := sha256.Sum256([]byte(key))
		f.path = filepath.Join(cfg.CacheFolder, hex.EncodeToString(sum[:16])+".manifest")
	}
	return f
}

// CacheFolder is where the user's programs keep manifests; "" if there is no such place.
func CacheFolder() string {
	folder, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "multiserver")
}

// Remember keeps the manifest of an image that was read whole, for sessions that serve it.
func Remember(source image.Source, m *codec.Manifest, folder string, log *slog.Logger) {
	newManifestFile(&Config{Source: source, CacheFolder: folder, Log: log}).remember(m)
}

// recall returns the manifest that an earlier session kept, or nil if it cannot be used.
func (f manifestFile) recall(g block.Geometry) *codec.Manifest {
	if f.path == "" {
		return nil
	}
	info, err := os.Stat(f.path)
	if err != nil || uint64(info.Size()) > codec.MaxManifestSize(g) {
		return nil
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return nil
	}
	m, err := codec.ParseManifest(b, g)
	if err != nil {
		f.log.Debug("a manifest in the cache cannot be used", "path", f.path, "err", err)
		return nil
	}
	return m
}

// remember keeps the manifest for the next session. Without it that one reads the image
// itself.
func (f manifestFile) remember(m *codec.Manifest) {
	if f.path == "" {
		return
	}
	err := os.MkdirAll(filepath.Dir(f.path), 0o700)
	if err == nil {
		// Whoever reads it compares it with its digest.
		err = atomicfile.Write(f.path, m.Bytes(), 0o600, false)
	}
	if err != nil {
		f.log.Debug("the manifest is not kept for the next session", "err", err)
	}
}

// forget drops what an earlier session kept and turned out to be wrong.
func (f manifestFile) forget() {
	if f.path != "" {
		os.Remove(f.path)
	}
}
