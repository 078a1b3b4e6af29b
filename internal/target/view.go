package target

import (
	"sync"

	"multiserver/internal/partition"
)

// view shows the image's bytes where a device holds others although it has the image: under a GPT
// that was fitted to it, and behind the end of a device that is smaller. Its zero value and nil
// show what is there. Its methods may be called concurrently.
type view struct {
	mu     sync.Mutex
	writes []partition.Write // the image's bytes; later ones count
}

// show puts the image's bytes into p, which was read at offset off.
func (v *view) show(p []byte, off uint64) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range v.writes {
		w.CopyTo(p, off)
	}
}

func (v *view) add(writes ...partition.Write) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writes = append(v.writes, writes...)
}

// drop forgets n bytes from off on: the device holds what it should there.
func (v *view) drop(off, n uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var kept []partition.Write
	for _, w := range v.writes {
		end := w.Off + uint64(len(w.Bytes))
		if off >= end || off+n <= w.Off {
			kept = append(kept, w)
			continue
		}
		if w.Off < off {
			kept = append(kept, partition.Write{Off: w.Off, Bytes: w.Bytes[:off-w.Off]})
		}
		if off+n < end {
			kept = append(kept, partition.Write{Off: off + n, Bytes: w.Bytes[off+n-w.Off:]})
		}
	}
	v.writes = kept
}

// recognize finds out whether the GPT on the device is one that was fitted to it after the image
// was written, as it will be again. Then ReadAt and ReadBack show the image's own.
func (f *File) recognize() {
	if !f.device || !f.readable || f.size == f.capacity || !f.fitGPT && !f.isCut() {
		return
	}
	image, fitted, ok := partition.Unfit(f.file, f.capacity, f.size, f.sector)
	if ok {
		f.fitted = fitted
		f.view.add(image...)
	}
}
