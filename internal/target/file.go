package target

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/format"
	"multiserver/internal/partition"
)

const (
	// holeGrainBytes is the least that becomes a hole: a page, and a block of most file systems.
	holeGrainBytes = 4 << 10
	// chunkBytes is the grain of File.written: 2 bytes of memory for a MiB of image.
	chunkBytes = 64 << 10
)

// File is a regular file or a block device as a target.
type File struct {
	file     *os.File
	name     string // as given
	path     string // of a regular file: absolute, without symbolic links
	readable bool
	force    bool // Options.Force
	wipeRest bool // Options.WipeRest
	fitGPT   bool // Options.FitGPT
	truncate bool // Options.TruncateUnused
	device   bool
	capacity uint64 // of a device, in bytes
	sector   uint32 // of a device: its logical sectors, in bytes
	created  bool   // Open made it
	// ranOut: its file system had no room for the image. Lacks may be called beside all else.
	ranOut   atomic.Bool
	isNew    bool // a regular file that held nothing when it was opened
	allocate bool

	prepared bool
	size     uint64 // of the image
	least    uint64 // bytes of the least disk for it, 0 if that is not known
	view     view
	fitted   partition.Move // what an earlier run fitted; the view hides it
	// written are the chunks that have data written. Zeros are skipped only in other
	// chunks: WriteAt may overwrite. nil if zeros are never skipped.
	written *block.Set
	// plainZeros: zeros are written as data, since no faster way worked.
	plainZeros bool
	writeback  writeback
	// table waits for the partition table; nil if that is not needed.
	table *table
	// err is the first failure. It stays: the kernel reports a page that it could not write
	// only once, and a later fsync would succeed.
	err error
}

// Name is the path that Open was given.
func (f *File) Name() string { return f.name }

// IsDevice reports whether the target is a block device.
func (f *File) IsDevice() bool { return f.device }

// New reports whether the target is a regular file that held no data before.
func (f *File) New() bool { return f.isNew }

// HoldsContent reports whether the target held something that may be read.
func (f *File) HoldsContent() bool { return !f.isNew && f.readable }

// Readable reports whether what the target holds may be read: ReadAt and ReadBack.
func (f *File) Readable() bool { return f.readable }

// Fits makes the checks of Prepare, and changes nothing. A device must hold at least size bytes, or
// with Options.TruncateUnused those that SetLeastDisk was told.
// Its sectors must have the size that the image's partition table is written for, unless sector
// is 0 or Options.Force is set. With Options.Allocate the file system must have room for size
// bytes. The error wraps ErrRefused.
func (f *File) Fits(size uint64, sector uint32) error {
	switch {
	case f.device && size > f.capacity:
		return f.fitsCut(size, sector)
	case f.device:
		return f.fitsTable(sector)
	case size > math.MaxInt64:
		return refused(f.name, fmt.Sprintf("no file holds %d bytes", size))
	case f.allocate:
		return f.hasRoom(size)
	}
	return nil
}

// fitsTable refuses a partition table that nobody would find on this device.
func (f *File) fitsTable(sector uint32) error {
	if !f.device || sector == 0 || sector == f.sector || f.force {
		return nil
	}
	return refused(f.name, fmt.Sprintf("it has sectors of %d bytes, and the image's partition table is for sectors of %d: it would not be found (ClientConfig.Force writes anyway)", f.sector, sector))
}

// Prepare makes the checks of Fits. With Options.Allocate it allocates the space. Then it sets the
// length of a regular file.
func (f *File) Prepare(size uint64, sector uint32) error {
	if f.prepared {
		panic("target: Prepare called twice")
	}
	if err := f.Fits(size, sector); err != nil {
		return err
	}
	if !f.device {
		if err := f.prepareRegular(int64(size)); err != nil {
			return err
		}
	}
	f.prepared, f.size = true, size
	if f.isNew && !f.allocate {
		f.written = block.NewSet((size + chunkBytes - 1) / chunkBytes)
	}
	if f.device && sector == 0 && !f.force {
		f.table = newTable(size)
	}
	f.writeback = writeback{fd: int(f.file.Fd())}
	return nil
}

func (f *File) prepareRegular(size int64) error {
	if f.allocate {
		info, err := f.file.Stat()
		if err != nil {
			return failed("stat", f.name, err)
		}
		if err := f.takeSpace(info, size); err != nil {
			// Restore the length, so that nothing has changed. The first error is the one
			// to report.
			f.file.Truncate(info.Size())
			return err
		}
	}
	return f.noRoom(fmt.Sprintf("set the length to %d bytes", size), f.file.Truncate(size))
}

// noRoom turns the error of an action that makes room for the image into a refusal, unless the
// device failed.
func (f *File) noRoom(action string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EIO):
		return failed(action+" of", f.name, err)
	}
	return refusedBy(f.name, fmt.Errorf("%s: %w", action, bare(err)))
}

// takeSpace allocates the first size bytes of the file that info describes.
func (f *File) takeSpace(info os.FileInfo, size int64) error {
	err := allocate(f.file, size)
	if errors.Is(err, errors.ErrUnsupported) {
		err = extend(f.file, info.Size(), size)
	}
	return f.noRoom(fmt.Sprintf("allocate %d bytes", size), err)
}

// extend writes zeros to bytes [lo, hi), for file systems that cannot allocate without data. The
// old content stays, holes included.
func extend(file *os.File, lo, hi int64) error {
	for lo < hi {
		n, err := file.WriteAt(zeros[:min(hi-lo, int64(len(zeros)))], lo)
		if err != nil {
			return err
		}
		lo += int64(n)
	}
	return nil
}

// WriteAt writes all of p, which it does not keep, at byte offset off of the image. In a file
// that held nothing before, zeros are skipped, so that holes stay. It returns only after all but
// the last 16 MiB or so are on their way to the device. After an error, every call returns that
// error.
//
// If Prepare was not told the sector size of the partition table, WriteAt finds it. If it is not
// the device's, the run that shows it is not written, and the error wraps ErrRefused. The same
// holds for the run that shows that the image is no disk as it is.
func (f *File) WriteAt(p []byte, off uint64) error {
	if f.err == nil {
		f.err = f.writeAt(p, off)
	}
	return f.err
}

func (f *File) writeAt(p []byte, off uint64) error {
	if off > f.size || uint64(len(p)) > f.size-off {
		return writeFailed(f.name, off, fmt.Errorf("%d bytes do not fit into an image of %d", len(p), f.size))
	}
	if err := f.admit(p, off); err != nil {
		return err
	}
	f.view.drop(off, uint64(len(p)))
	p = f.leaveOut(p, off)
	if f.written == nil {
		return f.write(p, off)
	}
	return f.writeData(p, off)
}

// admit looks for the partition table and the format in the bytes to be written.
func (f *File) admit(p []byte, off uint64) error {
	if f.table == nil || !f.table.put(p, off) {
		return nil
	}
	head := f.table.head
	f.table = nil
	if err := f.FitsFormat(format.Of(head)); err != nil {
		return err
	}
	return f.fitsTable(partition.SectorSize(head))
}

// writeData writes p except the grains that are zero, and have been zero since the file was new.
func (f *File) writeData(p []byte, off uint64) error {
	var wrote block.Range // from the first to the last byte written
	data := 0             // p[data:i] is to be written
	flush := func(i int) error {
		if data == i {
			return nil
		}
		if wrote.Hi == 0 {
			wrote.Lo = off + uint64(data)
		}
		wrote.Hi = off + uint64(i)
		return f.write(p[data:i], off+uint64(data))
	}
	for i := 0; i < len(p); {
		at := off + uint64(i)
		n := min(len(p)-i, holeGrainBytes-int(at%holeGrainBytes))
		if codec.IsZero(p[i:i+n]) && !f.written.Has(at/chunkBytes) {
			if err := flush(i); err != nil {
				return err
			}
			data = i + n
		}
		i += n
	}
	if err := flush(len(p)); err != nil {
		return err
	}
	// Only now: the grains of this run must not count as written for each other.
	if wrote.Hi != 0 {
		f.written.Add(block.Range{Lo: wrote.Lo / chunkBytes, Hi: (wrote.Hi-1)/chunkBytes + 1})
	}
	return nil
}

// zeros is what is written where zeros are written as data.
var zeros [1 << 20]byte

// zeroStep bounds one call of zeroOut, which cannot be interrupted.
const zeroStep = 64 << 20

// WriteZeros makes n bytes from byte offset off on zeros. In a file that held nothing there, they
// are zeros already. Otherwise the device or the file system makes them, if it can. A file gives
// the space back, except with Options.Allocate. It returns errors as WriteAt does.
func (f *File) WriteZeros(off, n uint64) error {
	if f.err == nil {
		f.err = f.writeZeros(off, n)
	}
	return f.err
}

func (f *File) writeZeros(off, n uint64) error {
	if off > f.size || n > f.size-off {
		return writeFailed(f.name, off, fmt.Errorf("%d bytes do not fit into an image of %d", n, f.size))
	}
	if n == 0 {
		return nil
	}
	if err := f.admit(zeros[:min(n, partition.HeadSize)], off); err != nil {
		return err
	}
	f.view.drop(off, n)
	n = f.clip(off, n)
	if f.written != nil {
		if r, ok := f.written.Next(off / chunkBytes); !ok || r.Lo > (off+n-1)/chunkBytes {
			return nil
		}
	}
	// A device makes zeros of whole sectors only.
	grain := max(uint64(f.sector), 1)
	lo, hi := (off+grain-1)/grain*grain, (off+n)/grain*grain
	if n < chunkBytes || lo >= hi {
		return f.fillZeros(off, off+n)
	}
	if err := f.fillZeros(off, lo); err != nil {
		return err
	}
	for ; lo < hi && !f.plainZeros; lo += min(zeroStep, hi-lo) {
		// The reason does not matter: if the device fails, writing data fails too.
		if err := f.zeroOut(lo, min(zeroStep, hi-lo)); err != nil {
			f.plainZeros = true
			break
		}
	}
	return f.fillZeros(lo, off+n)
}

// fillZeros writes zeros as data to bytes [lo, hi), except where there never was data.
func (f *File) fillZeros(lo, hi uint64) error {
	put := f.write
	if f.written != nil {
		put = f.writeData
	}
	for lo < hi {
		n := min(hi-lo, uint64(len(zeros)))
		if err := put(zeros[:n], lo); err != nil {
			return err
		}
		lo += n
	}
	return nil
}

func (f *File) write(p []byte, off uint64) error {
	// Not os.File.WriteAt: after an error it does not return how much was written.
	for done := 0; done < len(p); {
		n, err := unix.Pwrite(int(f.file.Fd()), p[done:], int64(off)+int64(done))
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil && err != unix.EINTR {
			f.checkRanOut(err)
			return writeFailed(f.name, off+uint64(done), err)
		}
		done += max(n, 0)
	}
	if err := f.writeback.wrote(off, uint64(len(p))); err != nil {
		return failedIn("write", f.name, f.writeback.pending(), err)
	}
	return nil
}

// ReadAt fills p from byte offset off on, with old or new content, through the page cache. It
// fails if the target ends earlier. It may be called concurrently with all other methods, and its
// errors do not stay. Where FlushCache has recognized a GPT that was fitted to the device, and
// behind the end of one that is smaller than the image, p gets what the image would have there.
func (f *File) ReadAt(p []byte, off uint64) error {
	held := p
	if f.isCut() {
		held = p[:f.clip(off, uint64(len(p)))]
	}
	if err := readFull(f.file, f.name, held, off); err != nil {
		return err
	}
	clear(p[len(held):])
	f.view.show(p, off)
	return nil
}

// FlushCache makes ReadAt return what the device holds: it writes out the target's pages and drops
// them from the page cache. After an earlier write has failed, the cache may hold bytes that are
// not on the device. It is called after Prepare, and before anything is written.
func (f *File) FlushCache() error {
	_ = f.file.Sync() // of earlier writes; reading will show whether they succeeded
	if err := flushCache(f.file, f.device); err != nil {
		return err
	}
	f.recognize()
	return nil
}

// Sync returns after everything written, and the name of a file that Open made, has
// reached the device.
func (f *File) Sync() error {
	if f.err != nil {
		return f.err
	}
	f.err = f.sync()
	return f.err
}

func (f *File) sync() error {
	if err := f.file.Sync(); err != nil {
		f.checkRanOut(err)
		return failedIn("sync", f.name, f.writeback.pending(), err)
	}
	// What lies beyond the end of a device that has shrunk is lost without an error.
	end, err := f.file.Seek(0, io.SeekEnd)
	if err != nil {
		return failed("size of", f.name, err)
	}
	if uint64(end) < f.end() {
		return failedAt("write", f.name, uint64(end), fmt.Errorf("it has shrunk to %d bytes, the image has %d", end, f.end()))
	}
	if f.created {
		return syncFolder(filepath.Dir(f.path), (*os.File).Sync)
	}
	return nil
}

// syncFolder makes the names in a folder durable. A folder that we may not read
// cannot be synced, and some file systems sync none; neither can be mended. sync is
// os.File's; tests replace it.
func syncFolder(path string, sync func(*os.File) error) error {
	folder, err := os.Open(path)
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return failed("open", path, err)
	}
	defer folder.Close()
	if err := sync(folder); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return failed("sync", path, err)
	}
	return nil
}

// Close closes the target. It removes a file that Open made and Prepare never got ready. It
// also removes one that Open made and that ran out of room: it only takes space that others need.
// A file that was there before stays, as a later run can resume from it.
func (f *File) Close() error {
	if f.created && (!f.prepared || f.ranOut.Load()) {
		f.remove()
	}
	if err := f.file.Close(); err != nil {
		return failed("close", f.name, err)
	}
	return nil
}

// remove removes the file if it is still ours, and is empty or ran out of room. Failing that,
// it stays, which harms nobody.
func (f *File) remove() {
	ours, err := f.file.Stat()
	if err != nil || ours.Size() != 0 && !f.ranOut.Load() {
		return
	}
	if there, err := os.Lstat(f.path); err == nil && os.SameFile(ours, there) {
		os.Remove(f.path)
	}
}
