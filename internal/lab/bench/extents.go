//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
)

// alternating is an image of sizeBytes that is data and holes in turn.
func alternating(sizeBytes, eachBytes int64) []lab.Extent {
	var data []lab.Extent
	for at := int64(0); at < sizeBytes; at += 2 * eachBytes {
		data = append(data, lab.Extent{OffsetBytes: at, SizeBytes: min(eachBytes, sizeBytes-at)})
	}
	return data
}

// sameData returns nil if two files hold the same bytes. It reads only what is not
// a hole in both.
func sameData(pathA, pathB string) error {
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
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	size := infoA.Size()
	if infoB.Size() != size {
		return fmt.Errorf("%s has %d bytes and %s %d", pathA, size, pathB, infoB.Size())
	}
	for offset := int64(0); ; {
		dataA, errA := seek(a, offset, unix.SEEK_DATA, size)
		dataB, errB := seek(b, offset, unix.SEEK_DATA, size)
		start := min(dataA, dataB)
		if err := errors.Join(errA, errB); err != nil || start == size {
			return err
		}
		holeA, errA := seek(a, start, unix.SEEK_HOLE, size)
		holeB, errB := seek(b, start, unix.SEEK_HOLE, size)
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		offset = max(holeA, holeB)
		sectionA, sectionB := io.NewSectionReader(a, start, offset-start), io.NewSectionReader(b, start, offset-start)
		if at, err := firstDifference(sectionA, sectionB); err != nil {
			return err
		} else if at >= 0 {
			return fmt.Errorf("byte %d differs in %s and %s", start+at, pathA, pathB)
		}
	}
}

// seek is lseek(2), and size where nothing more is to be found.
func seek(file *os.File, offset int64, whence int, size int64) (int64, error) {
	at, err := unix.Seek(int(file.Fd()), offset, whence)
	if errors.Is(err, unix.ENXIO) {
		return size, nil
	}
	return at, err
}

// firstDifference returns where two readers of one length first differ, or -1.
func firstDifference(a, b io.Reader) (int64, error) {
	bufferA, bufferB := make([]byte, 1<<20), make([]byte, 1<<20)
	for offset := int64(0); ; {
		n, err := io.ReadFull(a, bufferA)
		if _, errB := io.ReadFull(b, bufferB[:n]); errB != nil && n > 0 {
			return 0, errB
		}
		if !bytes.Equal(bufferA[:n], bufferB[:n]) {
			for i := range n {
				if bufferA[i] != bufferB[i] {
					return offset + int64(i), nil
				}
			}
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return -1, nil
		case err != nil:
			return 0, err
		}
		offset += int64(n)
	}
}
