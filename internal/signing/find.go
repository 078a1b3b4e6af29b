package signing

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/blockstore"
	"multiserver/internal/codec"
	"multiserver/internal/failure"
	"multiserver/internal/image"
	"multiserver/internal/packed"
	"multiserver/internal/quote"
	"multiserver/internal/statement"
)

// Found is what is signed of an image that is to be served; its zero is nothing.
type Found struct {
	Signed []byte        // for clients, as statement.Signed appends it
	Digest *codec.Digest // that the image must have
}

// Find reads what is signed of an image: from a file if that is given, else from within a packed
// image, else from beside the file at path, if there is one. Whether it is signed truly, clients
// decide. The error is of kind failure.ErrIntegrity if it is not of this image, as far as that is
// known before the image is read.
func Find(source image.Source, path, file string, log *slog.Logger) (Found, error) {
	said, where, err := read(source, path, file, log)
	if err != nil || where == "" {
		return Found{}, err
	}
	st, err := statement.Parse(said.Text)
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", where, err)
	}
	unfit := func(format string, args ...any) error {
		return failure.New(failure.ErrIntegrity, "%s is not what was signed: %s: sign it again with the same ServerConfig.SkipUnused, or remove %s",
			source, fmt.Sprintf(format, args...), where)
	}
	switch m := blockstore.Known(source, blockstore.CacheFolder(), log); {
	case st.SizeBytes != source.Size():
		return Found{}, unfit("it has %d bytes, and %d were signed", source.Size(), st.SizeBytes)
	case st.BlockSize != block.DefaultBlockSize:
		return Found{}, unfit("it was signed in blocks of %d bytes, and is served in blocks of %d", st.BlockSize, block.DefaultBlockSize)
	case m != nil && m.ImageDigest() != st.Image:
		return Found{}, unfit("its digest is another one")
	}
	log.Info("the image is signed", "as", quote.Name(st.Name), "serial", st.Serial)
	if st.Expired(time.Now()) {
		log.Warn("what is signed of the image has expired: clients refuse it", "expired", st.Expires.Format(time.DateOnly))
	}
	return Found{said.AppendTo(nil), &st.Image}, nil
}

// read returns what is signed, and where it stands; "" if there is nothing.
func read(source image.Source, path, file string, log *slog.Logger) (said statement.Signed, where string, err error) {
	if m, is := source.(*packed.Image); is && file == "" {
		switch in := m.Info().Signature; in.Kind {
		case 0:
			return said, "", nil
		case packed.SignedStatement:
			said, err = statement.ParseSigned(in.Bytes)
			return said, "the signature in it", err
		default:
			log.Warn("the packed image has a signature that this version does not know, and so serves without")
			return said, "", nil
		}
	}
	beside := file == ""
	if beside {
		if path == "" {
			return said, "", nil
		}
		file = path + statement.Extension
	}
	said, err = statement.Read(file)
	if errors.Is(err, fs.ErrNotExist) && beside {
		return said, "", nil
	}
	return said, quote.Name(file), err
}
