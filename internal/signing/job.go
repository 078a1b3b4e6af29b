package signing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"aead.dev/minisign"

	"multiserver/internal/blockstore"
	"multiserver/internal/image"
	"multiserver/internal/packed"
	"multiserver/internal/partition"
	"multiserver/internal/quote"
	"multiserver/internal/statement"
	"multiserver/internal/usedblocks"
)

// Job signs one image. Open it, Run it, and Close it.
type Job struct {
	Path string
	// SkipUnused reads the image without what no file system uses, as it will be served.
	SkipUnused bool
	// Output is the file of the statement; "": beside the image. A packed image has it inside.
	Output  string
	Key     minisign.PrivateKey
	Name    string            // "": that of the image
	Serial  uint64            // 0: one more than the last
	Expires time.Time         // to the day; zero: never
	Serials statement.Serials // that the key has signed
	Log     *slog.Logger

	// Progress counts what is read, and Statement is what will be signed; both after Open.
	Progress  packed.Progress
	Statement statement.Statement

	source image.Source
	packed bool
}

// Open opens the image, and decides what is said of it. What fails leaves nothing open.
func (j *Job) Open() (err error) {
	if j.source, err = packed.OpenSource(j.Path); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			j.Close()
		}
	}()
	if _, j.packed = j.source.(*packed.Image); j.packed && j.Output != "" {
		return errors.New("-o: a packed image has its signature inside")
	}
	if !j.packed && j.SkipUnused {
		used, m := usedblocks.Skip(j.source, j.Path)
		j.source = used
		for _, line := range m.Lines() {
			j.Log.Info(line)
		}
	}
	j.Statement = statement.Statement{
		Name: j.Name, SizeBytes: j.source.Size(), Serial: j.Serial, Created: time.Now().UTC().Truncate(time.Second), Expires: j.Expires,
	}
	s := &j.Statement
	if s.Name == "" {
		s.Name = j.source.Name()
	}
	if err := statement.CheckName(s.Name); err != nil {
		return fmt.Errorf("%w: give it one with --name", err)
	}
	last, err := j.Serials.Last(s.Name)
	switch {
	case err != nil:
		return err
	case s.Serial == 0:
		s.Serial = last + 1
	case s.Serial <= last:
		return fmt.Errorf("--serial %d: %s has %d already, and clients that know it refuse less", s.Serial, quote.Name(s.Name), last)
	}
	head := make([]byte, min(partition.HeadSize, j.source.Size()))
	if err := j.source.ReadScattered([][]byte{head}, 0); err != nil {
		return err
	}
	s.Sectors = partition.SectorSize(head)
	return nil
}

// Run reads the image, signs it, and stores what is signed.
func (j *Job) Run(ctx context.Context) error {
	manifest, err := packed.ManifestOf(ctx, j.source, &j.Progress)
	if err != nil {
		return err
	}
	blockstore.Remember(j.source, manifest, blockstore.CacheFolder(), j.Log)
	j.Statement.BlockSize, j.Statement.Image = manifest.Geometry().BlockSize, manifest.ImageDigest()
	signed, err := statement.Sign(j.Key, j.Statement)
	if err != nil {
		return err
	}
	// First: a number that is kept and used for nothing is only left out.
	if err := j.Serials.Keep(j.Statement.Name, j.Statement.Serial); err != nil {
		return err
	}
	switch {
	case j.packed:
		return packed.Sign(j.Path, packed.Signature{Kind: packed.SignedStatement, Bytes: signed.AppendTo(nil)})
	case j.Output != "":
		return signed.Write(j.Output)
	}
	return signed.Write(j.Path + statement.Extension)
}

// Close closes the image.
func (j *Job) Close() error { return j.source.Close() }
