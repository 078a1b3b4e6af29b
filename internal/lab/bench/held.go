//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
)

// What targets hold before a transfer.

const (
	// blockBytes is a block of our own protocol, and pieceBytes what of it is compared.
	blockBytes = 1 << 20
	pieceBytes = 4 << 10
)

// holdOther fills the target with noise that is not the image's.
func holdOther(j *job, n int) error {
	return lab.RandomFile(j.output(n), j.sizeBytes, imageSeed+1+uint64(n))
}

// holdFile has all targets hold what a file does.
func holdFile(path func() string) func(*job, int) error {
	return func(j *job, n int) error { return copyData(path(), j.output(n)) }
}

// holdDiffering has the target hold the image but for a share of its blocks: in each of
// them partBytes, somewhere, are other noise. No two clients lack the same block.
func holdDiffering(share float64, partBytes int) func(*job, int) error {
	return func(j *job, n int) (err error) {
		if err := copyData(j.image, j.output(n)); err != nil {
			return err
		}
		file, err := os.OpenFile(j.output(n), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		var key [32]byte
		binary.BigEndian.PutUint64(key[:], imageSeed+1+uint64(n))
		noise := rand.NewChaCha8(key)
		part := make([]byte, partBytes)
		for _, id := range differing(int(j.sizeBytes/blockBytes), n, share) {
			_, _ = noise.Read(part) // it cannot fail
			at := rand.New(noise).IntN(blockBytes / partBytes)
			if _, err := file.WriteAt(part, int64(id)*blockBytes+int64(at*partBytes)); err != nil {
				return err
			}
		}
		return nil
	}
}

// differing are the blocks of a share of all, at least one, that the n-th client lacks.
func differing(blocks, n int, share float64) []int {
	count := max(1, int(math.Round(share*float64(blocks))))
	all := rand.New(rand.NewPCG(imageSeed, 0)).Perm(blocks)
	return all[n*count:][:count]
}

// copyData makes a file that holds what another does, with the same holes.
func copyData(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Truncate(size); err != nil {
		return err
	}
	for hole := int64(0); ; {
		data, err := seek(source, hole, unix.SEEK_DATA, size)
		if err != nil || data == size {
			return err
		}
		if hole, err = seek(source, data, unix.SEEK_HOLE, size); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(file, data), io.NewSectionReader(source, data, hole-data)); err != nil {
			return err
		}
	}
}

// differingBytes is how much of an image is in pieces that at least one of the targets,
// which are of its size, does not hold.
func differingBytes(image string, targets []string) (total int64, err error) {
	files := make([]*os.File, 0, 1+len(targets))
	defer func() { closeAll(files) }()
	for _, path := range append([]string{image}, targets...) {
		file, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		files = append(files, file)
	}
	buffers := make([][]byte, len(files))
	for i := range buffers {
		buffers[i] = make([]byte, blockBytes)
	}
	for {
		n, err := io.ReadFull(files[0], buffers[0])
		if err == io.EOF {
			return total, nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return 0, err
		}
		for i := range targets {
			if _, err := io.ReadFull(files[1+i], buffers[1+i][:n]); err != nil {
				return 0, err
			}
		}
		for at := 0; at < n; at += pieceBytes {
			end := min(at+pieceBytes, n)
			for _, other := range buffers[1:] {
				if !bytes.Equal(buffers[0][at:end], other[at:end]) {
					total += int64(end - at)
					break
				}
			}
		}
	}
}
