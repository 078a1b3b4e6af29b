package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// copyBytes is how much of a file the helpers hold at once.
const copyBytes = 1 << 20

// RandomFile creates or overwrites a file with sizeBytes of noise that the
// seed determines.
func RandomFile(path string, sizeBytes int64, seed uint64) error {
	return SparseFile(path, sizeBytes, seed, Extent{0, sizeBytes})
}

// Extent is a part of a file.
type Extent struct {
	OffsetBytes, SizeBytes int64
}

// SparseFile creates or overwrites a file of sizeBytes that holds noise in
// the extents, as the seed determines, and holes elsewhere.
func SparseFile(path string, sizeBytes int64, seed uint64, extents ...Extent) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Truncate(sizeBytes); err != nil {
		return err
	}
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	noise := rand.NewChaCha8(key)
	buffer := make([]byte, copyBytes)
	for _, e := range extents {
		if e.OffsetBytes < 0 || e.SizeBytes < 0 || e.OffsetBytes > sizeBytes-e.SizeBytes {
			return fmt.Errorf("%s: extent %+v outside of %d bytes", path, e, sizeBytes)
		}
		to := io.NewOffsetWriter(file, e.OffsetBytes)
		if _, err := io.CopyBuffer(to, io.LimitReader(noise, e.SizeBytes), buffer); err != nil {
			return err
		}
	}
	return nil
}

// TexturedFile creates or overwrites a file of sizeBytes of which zstd leaves about a third: text and
// noise by turns, of a length that varies, a MiB of noise in eight, and two of zeros in 16.
func TexturedFile(path string, sizeBytes int64, seed uint64) error {
	noise := rand.New(rand.NewPCG(seed, 3))
	b := make([]byte, sizeBytes)
	for at := int64(0); at < sizeBytes; {
		n := min(sizeBytes-at, 1+noise.Int64N(9000))
		switch part := b[at : at+n]; {
		case at>>20%8 == 3 || noise.IntN(4) == 0:
			for i := range part {
				part[i] = byte(noise.Uint32())
			}
		default:
			for i := range part {
				part[i] = "a root file system, mostly; "[(i+int(at))%28]
			}
		}
		at += n
	}
	for at := int64(6 << 20); at < sizeBytes; at += 16 << 20 {
		clear(b[at:min(sizeBytes, at+2<<20)])
	}
	return os.WriteFile(path, b, 0o600)
}

// SameBytes returns nil if two files hold the same bytes, and otherwise an
// error that names the first that differs.
func SameBytes(pathA, pathB string) error {
	a, err := os.Open(pathA)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(pathB)
	if err != nil {
		return err
	}
	defer b.Close()

	bufferA, bufferB := make([]byte, copyBytes), make([]byte, copyBytes)
	for offset := int64(0); ; {
		n, errA := io.ReadFull(a, bufferA)
		m, errB := io.ReadFull(b, bufferB)
		if err := errors.Join(readError(errA), readError(errB)); err != nil {
			return err
		}
		if !bytes.Equal(bufferA[:n], bufferB[:m]) {
			for i := range min(n, m) {
				if bufferA[i] != bufferB[i] {
					return fmt.Errorf("byte %d is %#02x in %s and %#02x in %s", offset+int64(i), bufferA[i], pathA, bufferB[i], pathB)
				}
			}
			shorter, longer := pathA, pathB
			if n > m {
				shorter, longer = pathB, pathA
			}
			return fmt.Errorf("%s ends at byte %d and %s goes on", shorter, offset+int64(min(n, m)), longer)
		}
		if errA != nil {
			return nil // both ended: n = m < copyBytes
		}
		offset += int64(n)
	}
}

// readError returns err unless it tells the end of the file.
func readError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
