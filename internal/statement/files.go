package statement

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"multiserver/internal/atomicfile"
	"multiserver/internal/quote"
)

// Extension is that of the file beside an image with what is signed of it. With SignatureExtension
// behind, it is the file with the signature, where the minisign program looks for it.
const (
	Extension          = ".mxs"
	SignatureExtension = ".minisig"
)

// Read reads a statement from a file, and its signature from the one beside it. The error wraps
// fs.ErrNotExist if there is no statement.
func Read(path string) (signed Signed, err error) {
	if signed.Text, err = readBounded(path, MaxTextSize); err != nil {
		return Signed{}, err
	}
	if signed.Signature, err = readBounded(path+SignatureExtension, MaxSignatureSize); err != nil {
		// Not the error that says that nothing is there.
		return Signed{}, fmt.Errorf("%s has no signature: %w: %v", quote.Name(path), ErrMalformed, err)
	}
	return signed, nil
}

// Write writes both files. Each is whole and synced before it gets its name.
func (s Signed) Write(path string) error {
	if err := writeWhole(path, s.Text); err != nil {
		return err
	}
	return writeWhole(path+SignatureExtension, s.Signature)
}

func readBounded(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, quote.Error(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", quote.Name(path), quote.Error(err))
	}
	if len(b) > most {
		return nil, fmt.Errorf("%s: %w: it has more than %d bytes", quote.Name(path), ErrMalformed, most)
	}
	return b, nil
}

func writeWhole(path string, b []byte) error {
	if err := atomicfile.Write(path, b, 0o644, true); err != nil {
		return fmt.Errorf("write %s: %w", quote.Name(path), quote.Error(err))
	}
	return nil
}

// AppendTo appends both to dst, as a packed image's slot and MXB 2 have them: the size of the text
// in two bytes, the text, the signature.
func (s Signed) AppendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s.Text)))
	return append(append(dst, s.Text...), s.Signature...)
}

// ParseSigned reads what AppendTo wrote. It keeps nothing of b.
func ParseSigned(b []byte) (Signed, error) {
	if len(b) < 2 {
		return Signed{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	size := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; size > len(b) || size > MaxTextSize || len(b)-size > MaxSignatureSize || size == 0 || len(b) == size {
		return Signed{}, fmt.Errorf("%w: a text of %d bytes in %d", ErrMalformed, size, len(b))
	}
	return Signed{bytes.Clone(b[:size]), bytes.Clone(b[size:])}, nil
}
