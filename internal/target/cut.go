package target

import (
	"bytes"
	"errors"
	"fmt"

	"multiserver/internal/partition"
)

// A device may be smaller than an image whose end is in no partition. With Options.TruncateUnused
// the image's end is left out: what comes of it is not written, and shown by view until the image
// was read back. In the end the backup GPT is moved to the end of the device.

// SetLeastDisk says how many bytes a device must have that holds all partitions of the image, 0 if
// that is not known. It is called before Fits and Prepare.
func (f *File) SetLeastDisk(size uint64) { f.least = size }

// CutBytes is how much of the image's end is left out, after Prepare.
func (f *File) CutBytes() uint64 { return f.size - f.end() }

// isCut reports whether the device is smaller than the image that it was prepared for.
func (f *File) isCut() bool { return f.CutBytes() > 0 }

// end is the offset behind the last byte of the image that is written.
func (f *File) end() uint64 {
	if f.device {
		return min(f.size, f.capacity)
	}
	return f.size
}

// fitsCut refuses a device that is smaller than the image of size bytes, unless nothing but what is
// in no partition has to be left out, and that was asked for.
func (f *File) fitsCut(size uint64, sector uint32) error {
	why := fmt.Sprintf("it holds %d bytes, the image has %d", f.capacity, size)
	switch {
	case f.least == 0 || f.least > size || sector == 0:
	case f.least > f.capacity:
		why += fmt.Sprintf("; the image's partitions need a disk of %d", f.least)
	case sector != f.sector:
		why += fmt.Sprintf("; its last %d are in no partition, but its partition table is for sectors of %d bytes, and the disk has %d", size-f.least, sector, f.sector)
	case !f.truncate:
		why += fmt.Sprintf("; its last %d are in no partition (ClientConfig.TruncateUnused leaves out what does not fit)", size-f.least)
	default:
		return nil
	}
	return refused(f.name, why)
}

// clip is the length of the n bytes from off on as far as they are written.
func (f *File) clip(off, n uint64) uint64 { return min(n, f.end()-min(f.end(), off)) }

// leaveOut takes the part of p, at offset off, that is not written. Of a run that the device's end
// cuts it is kept for the view, so that the run can be read back and its digest compared. Runs
// behind the end are not read back.
func (f *File) leaveOut(p []byte, off uint64) (rest []byte) {
	n := f.clip(off, uint64(len(p)))
	if 0 < n && n < uint64(len(p)) {
		f.view.add(partition.Write{Off: off + n, Bytes: bytes.Clone(p[n:])})
	}
	return p[:n]
}

// finishCut moves the backup GPT of an image that was cut to the end of the device, and checks once
// more that no partition was cut: what a server says of its image is a claim.
func (f *File) finishCut(r *RestReport) error {
	r.CutBytes = f.CutBytes()
	r.Done = append(r.Done, fmt.Sprintf("the last %d bytes of the image, which are in no partition, were left out", r.CutBytes))
	head := make([]byte, min(f.capacity, partition.HeadSize))
	if err := readFull(f.file, f.name, head, 0); err != nil {
		return err
	}
	if partition.HasGPT(head, f.sector) {
		move, err := partition.MoveBackup(f.file, f.capacity, f.sector)
		if err == nil {
			err = f.fit(r, move)
		}
		if err != nil {
			return failed("fit the GPT to", f.name, err)
		}
	}
	if partition.LeastDisk(f.file, f.capacity, f.sector) == 0 {
		return failed("fit the partition table to", f.name, errors.New("a partition is cut, or the table is not whole: the disk cannot be used"))
	}
	return nil
}
