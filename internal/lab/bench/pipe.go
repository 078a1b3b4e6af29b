//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	// pipeReadBytes is what a pipe holds (pipe(7)).
	pipeReadBytes = 64 << 10
	// pipeBurst is what may be made up for: as late as timers come.
	pipeBurst = 10 * time.Millisecond
)

// pipe takes what a client writes to its standard output, never faster than a rate,
// and compares it with the image.
type pipe struct {
	image       string
	bytesPerSec float64
	err         error // valid after read: what was written is not the image
}

// read reads to the end and closes the file. What differs is read on, so that the
// client does not fail instead.
func (p *pipe) read(from *os.File) {
	defer from.Close()
	image, err := os.Open(p.image)
	if err != nil {
		p.err = err
	} else {
		defer image.Close()
	}
	got, want := make([]byte, pipeReadBytes), make([]byte, pipeReadBytes)
	next := time.Now()
	for offset := int64(0); ; {
		n, err := from.Read(got)
		if p.err == nil {
			if m, imageErr := io.ReadFull(image, want[:n]); !bytes.Equal(got[:n], want[:m]) {
				p.err = fmt.Errorf("the pipe got something else within %d bytes of byte %d (image: %v)", n, offset, imageErr)
			}
		}
		if err != nil {
			p.end(image, err)
			return
		}
		offset += int64(n)
		if soonest := time.Now().Add(-pipeBurst); next.Before(soonest) {
			next = soonest
		}
		next = next.Add(time.Duration(float64(n) / p.bytesPerSec * float64(time.Second)))
		time.Sleep(time.Until(next))
	}
}

// end tells what is wrong if the pipe ended before the image.
func (p *pipe) end(image *os.File, err error) {
	if p.err != nil {
		return
	}
	if !errors.Is(err, io.EOF) {
		p.err = err
	} else if n, _ := image.Read(make([]byte, 1)); n > 0 {
		p.err = errors.New("the pipe ended before the image")
	}
}
