package usedblocks

import (
	"bytes"
	"errors"
	"fmt"
)

// NTFS: the boot sector, and of the MFT the records of $Volume (clean?), $LogFile (nothing to
// replay?), the root folder (hibernated?) and $Bitmap. The linux-ntfs documentation; fs/ntfs3 of
// Linux. Time is that of reading the bitmap, and maxNTFSIndex of the root folder.

const (
	ntfsLogFile, ntfsVolume, ntfsRoot, ntfsBitmap = 2, 3, 5, 6 // records

	ntfsAttributeList, ntfsVolumeInfo, ntfsData     = 0x20, 0x70, 0x80
	ntfsIndexRoot, ntfsIndexAllocation, ntfsEndAttr = 0x90, 0xA0, 0xFFFFFFFF

	maxNTFSRecord = 4096
	maxNTFSIndex  = 16 << 20
	ntfsChunk     = 1 << 20
	// ntfsDirtyFlags are those of $Volume that Linux does not write to either:
	// VOLUME_MUST_MOUNT_RO_MASK.
	ntfsDirtyFlags = 0xC033
	ntfsNoClient   = 0xFFFF
	ntfsLogClean   = 0x2
)

var errNTFSDamaged = errors.New("a record of its MFT is damaged")

type ntfsFS struct {
	v                 *volume
	cluster, clusters uint64 // bytes; count
	record            uint64 // bytes
	mft               []ntfsRun
}

// ntfsRun is a run of clusters of an attribute.
type ntfsRun struct{ vcn, lcn, n uint64 }

// ntfsAttr is an attribute of a record.
type ntfsAttr struct {
	kind        uint32
	resident    []byte // its value, if that is in the record
	runs        []ntfsRun
	size        uint64 // bytes
	initialized uint64
}

func isNTFS(head []byte) bool { return len(head) >= 512 && string(head[3:11]) == "NTFS    " }

func readNTFS(v *volume, _ *Part) error {
	n := &ntfsFS{v: v}
	if err := n.readBoot(); err != nil {
		return err
	}
	for _, check := range []func() error{n.checkVolume, n.checkLog, n.checkHibernation} {
		if err := check(); err != nil {
			return err
		}
	}
	return n.readBitmap()
}

// readBoot reads the boot sector, and where the MFT is.
func (n *ntfsFS) readBoot() error {
	b, err := n.v.bytes(0, 512)
	if err != nil {
		return err
	}
	n.v.watch(0, b)
	errBad := errors.New("its boot sector contradicts itself")
	sector, per := uint64(le16(b, 11)), uint64(b[13])
	if per > 0x80 {
		per = 1 << (256 - per)
	}
	sectors, mft := le64(b, 40), le64(b, 48)
	n.cluster = sector * per
	if sector < 512 || sector > 4096 || sector&(sector-1) != 0 || per == 0 || per&(per-1) != 0 || n.cluster > 2<<20 {
		return errBad
	}
	if sectors > n.v.size/sector {
		return fmt.Errorf("it has %d sectors of %d bytes, and the partition %d bytes", sectors, sector, n.v.size)
	}
	n.clusters = sectors / per
	if size := int8(b[64]); size > 0 {
		n.record = uint64(size) * n.cluster
	} else if size >= -12 && size <= -9 {
		n.record = 1 << -size
	}
	if n.record < 512 || n.record > maxNTFSRecord || n.record&(n.record-1) != 0 || mft >= n.clusters {
		return errBad
	}
	// The first run of the MFT has its first records; record 0 tells the others.
	n.mft = []ntfsRun{{0, mft, max(1, 16*n.record/n.cluster)}}
	if n.mft[0].n > n.clusters-mft {
		return errBad
	}
	attrs, err := n.readRecord(0, 0)
	if err != nil {
		return err
	}
	data, err := find(attrs, ntfsData)
	if err != nil || len(data.runs) == 0 || data.runs[0].lcn != mft {
		return errNTFSDamaged
	}
	n.mft = data.runs
	return nil
}

// find returns the one attribute of a kind that has no name of its own, or is the index of names.
func find(attrs []ntfsAttr, kind uint32) (ntfsAttr, error) {
	for _, a := range attrs {
		if a.kind == kind {
			return a, nil
		}
	}
	return ntfsAttr{}, errNTFSDamaged
}

// readRecord reads the attributes of a record of the MFT that are in it. A sequence that is not 0
// must be the record's.
func (n *ntfsFS) readRecord(number uint64, sequence uint16) ([]ntfsAttr, error) {
	at, ok := n.offset(n.mft, number*n.record, n.record)
	if !ok {
		return nil, errors.New("a record lies where its MFT does not tell")
	}
	b, err := n.v.bytes(at, n.record)
	if err != nil {
		return nil, err
	}
	if number == ntfsVolume {
		n.v.watch(at, bytes.Clone(b))
	}
	if string(b[:4]) != "FILE" || !fixUp(b) || le16(b, 22)&1 == 0 || le64(b, 32) != 0 {
		return nil, errNTFSDamaged
	}
	if sequence != 0 && le16(b, 16) != sequence {
		return nil, nil // another file by now
	}
	var attrs []ntfsAttr
	for at, end := uint64(le16(b, 20)), min(uint64(le32(b, 24)), n.record); ; {
		if at+4 > end {
			return nil, errNTFSDamaged
		}
		if le32(b, int(at)) == ntfsEndAttr {
			return attrs, nil
		}
		if at+24 > end {
			return nil, errNTFSDamaged
		}
		length := uint64(le32(b, int(at)+4))
		if length < 24 || length > end-at {
			return nil, errNTFSDamaged
		}
		a, named, err := n.parseAttr(b[at : at+length])
		if err != nil {
			return nil, err
		}
		if !named {
			attrs = append(attrs, a)
		}
		at += length
	}
}

// fixUp puts back the last two bytes of each sector of 512 bytes of a record, which hold a number
// that tells a write that was cut. It is false if that was so.
func fixUp(b []byte) bool {
	at, count := int(le16(b, 4)), int(le16(b, 6))
	if count != len(b)/512+1 || at+2*count > len(b) {
		return false
	}
	number := le16(b, at)
	for i := 1; i < count; i++ {
		end := b[i*512-2 : i*512]
		if le16(end, 0) != number {
			return false
		}
		copy(end, b[at+2*i:at+2*i+2])
	}
	return true
}

// parseAttr reads an attribute. named says that it has a name and is no index of file names.
func (n *ntfsFS) parseAttr(b []byte) (a ntfsAttr, named bool, err error) {
	a.kind = le32(b, 0)
	if length := int(b[9]); length > 0 {
		at := int(le16(b, 10))
		if at+2*length > len(b) {
			return a, false, errNTFSDamaged
		}
		named = string(b[at:at+2*length]) != "$\x00I\x003\x000\x00"
	}
	if b[8] == 0 {
		size, at := uint64(le32(b, 16)), uint64(le16(b, 20))
		if at > uint64(len(b)) || size > uint64(len(b))-at {
			return a, false, errNTFSDamaged
		}
		a.resident, a.size = b[at:at+size], size
		return a, named, nil
	}
	if len(b) < 64 {
		return a, false, errNTFSDamaged
	}
	if named {
		return a, true, nil
	}
	if le64(b, 16) != 0 || le16(b, 12) != 0 { // a later part; compressed, encrypted, sparse
		return a, true, nil
	}
	a.size, a.initialized = le64(b, 48), le64(b, 56)
	if at := int(le16(b, 32)); at < len(b) {
		a.runs, err = n.parseRuns(b[at:])
	}
	return a, false, err
}

// parseRuns reads mapping pairs: a byte with the sizes of two numbers, a length, and a difference
// to the run before.
func (n *ntfsFS) parseRuns(b []byte) (runs []ntfsRun, err error) {
	vcn, lcn := uint64(0), int64(0)
	for len(b) > 0 && b[0] != 0 {
		sizeN, sizeAt := int(b[0]&0xF), int(b[0]>>4)
		if sizeN == 0 || sizeN > 8 || sizeAt == 0 || sizeAt > 8 || 1+sizeN+sizeAt > len(b) {
			return nil, errNTFSDamaged // also of a hole
		}
		length := signed(b[1:][:sizeN])
		lcn += signed(b[1+sizeN:][:sizeAt])
		if length <= 0 || lcn < 0 || uint64(lcn) >= n.clusters || uint64(length) > n.clusters-uint64(lcn) {
			return nil, errNTFSDamaged
		}
		runs = append(runs, ntfsRun{vcn, uint64(lcn), uint64(length)})
		vcn += uint64(length)
		b = b[1+sizeN+sizeAt:]
	}
	return runs, nil
}

// signed is a little-endian number of 1 to 8 bytes in two's complement.
func signed(b []byte) (v int64) {
	for i, c := range b {
		v |= int64(c) << (8 * i)
	}
	shift := 64 - 8*len(b)
	return v << shift >> shift
}

// offset is where size bytes of an attribute are in the volume; false if they are not in one run.
func (n *ntfsFS) offset(runs []ntfsRun, at, size uint64) (uint64, bool) {
	for _, r := range runs {
		if lo, hi := r.vcn*n.cluster, (r.vcn+r.n)*n.cluster; at >= lo && at < hi {
			return r.lcn*n.cluster + at - lo, size <= hi-at
		}
	}
	return 0, false
}

// readBitmap frees what $Bitmap says is free.
func (n *ntfsFS) readBitmap() error {
	attrs, err := n.readRecord(ntfsBitmap, 0)
	if err != nil {
		return err
	}
	if _, err := find(attrs, ntfsAttributeList); err == nil {
		return errors.New("its bitmap is spread over several records")
	}
	data, err := find(attrs, ntfsData)
	length := (n.clusters + 7) / 8
	if err != nil || data.resident != nil || data.size < length || data.initialized < length {
		return errors.New("its bitmap is not as long as it has to be")
	}
	first := uint64(0) // cluster of the next bit
	for _, r := range data.runs {
		for at, end := r.lcn*n.cluster, (r.lcn+r.n)*n.cluster; at < end && first < n.clusters; {
			b, err := n.v.bytes(at, min(ntfsChunk, end-at, (n.clusters-first+7)/8))
			if err != nil {
				return err
			}
			bits := min(uint64(len(b))*8, n.clusters-first)
			for i := uint64(0); i < bits; {
				lo := nextBit(b, i, bits, false)
				hi := nextBit(b, lo, bits, true)
				if lo < hi {
					if err := n.v.free((first+lo)*n.cluster, (first+hi)*n.cluster); err != nil {
						return err
					}
				}
				i = hi
			}
			first += bits
			at += uint64(len(b))
		}
	}
	if first < n.clusters {
		return errors.New("its bitmap is not as long as it has to be")
	}
	return nil
}
