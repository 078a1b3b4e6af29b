package usedblocks

import (
	"bytes"
	"io"
)

func readerOf(b []byte) io.ReaderAt { return bytes.NewReader(b) }
