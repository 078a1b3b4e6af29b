package usedblocks

import (
	"errors"
	"fmt"
)

// exFAT: the boot region, the root folder's entry for the allocation bitmap, and the bitmap along
// its chain in the FAT. Microsoft's exFAT file system specification. Time is that of reading the
// bitmap; the root folder is read up to maxExFATRoot.

const (
	exfatBootSectors = 12
	maxExFATRoot     = 1 << 20 // bytes until the entry for the bitmap; it is one of the first
	maxExFATClusters = 1<<32 - 11
	exfatBitmapEntry = 0x81
	exfatEndOfChain  = 0xFFFFFFFF
)

type exfatFS struct {
	v               *volume
	sector, cluster uint64 // bytes
	fat, fatBytes   uint64
	data            uint64
	clusters        uint64
	root            uint32
}

func isExFAT(head []byte) bool {
	return len(head) >= 512 && string(head[3:11]) == "EXFAT   " && head[510] == 0x55 && head[511] == 0xAA
}

func readExFAT(v *volume, _ *Part) error {
	x := &exfatFS{v: v}
	if err := x.readBoot(); err != nil {
		return err
	}
	first, length, err := x.findBitmap()
	if err != nil {
		return err
	}
	if length != (x.clusters+7)/8 {
		return errors.New("its allocation bitmap has another size than its clusters need")
	}
	done := uint64(0) // bytes of the bitmap
	return x.follow(first, (length+x.cluster-1)/x.cluster, func(at uint64) (more bool, err error) {
		b, err := v.bytes(at, min(x.cluster, length-done))
		if err != nil {
			return false, err
		}
		bits := min(uint64(len(b))*8, x.clusters-done*8)
		for i := uint64(0); i < bits; {
			lo := nextBit(b, i, bits, false)
			hi := nextBit(b, lo, bits, true)
			if lo < hi {
				at := x.data + done*8*x.cluster
				if err := v.free(at+lo*x.cluster, at+hi*x.cluster); err != nil {
					return false, err
				}
			}
			i = hi
		}
		done += uint64(len(b))
		return done < length, nil
	})
}

// readBoot reads the boot region, and refuses what is not certain.
func (x *exfatFS) readBoot() error {
	s, err := x.v.bytes(0, 512)
	if err != nil {
		return err
	}
	errBad := errors.New("its boot sector contradicts itself")
	if s[108] < 9 || s[108] > 12 || s[109] > 25-s[108] {
		return errBad
	}
	x.sector = 1 << s[108]
	x.cluster = x.sector << s[109]
	sectors := le64(s, 72)
	x.fat, x.fatBytes = uint64(le32(s, 80))*x.sector, uint64(le32(s, 84))*x.sector
	x.data, x.clusters, x.root = uint64(le32(s, 88))*x.sector, uint64(le32(s, 92)), le32(s, 96)
	region, err := x.v.bytes(0, exfatBootSectors*x.sector)
	if err != nil {
		return err
	}
	x.v.watch(0, region[:512])
	switch {
	case !exfatBootSum(region, int(x.sector)):
		return errors.New("the checksum of its boot region is wrong")
	case s[105] != 1:
		return errors.New("a revision that is not known")
	case s[110] != 1:
		return errors.New("it has two allocation tables")
	case le16(s, 106)&0x6 != 0:
		return errors.New("it is mounted, was not unmounted, or its medium has failed")
	case le16(s, 106)&0x1 != 0:
		return errBad
	case sectors > x.v.size/x.sector:
		return fmt.Errorf("it has %d sectors of %d bytes, and the partition %d bytes", sectors, x.sector, x.v.size)
	case x.clusters == 0 || x.clusters > maxExFATClusters || x.fatBytes/4 < x.clusters+2 || x.fat < 24*x.sector ||
		x.data < x.fat+x.fatBytes || x.data+x.clusters*x.cluster > sectors*x.sector:
		return errBad
	}
	return nil
}

// exfatBootSum reports whether the last sector of the boot region repeats the checksum of the
// others, without the flags and the share that is used.
func exfatBootSum(region []byte, sector int) bool {
	sum := uint32(0)
	for i, c := range region[:11*sector] {
		if i != 106 && i != 107 && i != 112 {
			sum = sum<<31 | sum>>1
			sum += uint32(c)
		}
	}
	for at := 11 * sector; at < 12*sector; at += 4 {
		if le32(region, at) != sum {
			return false
		}
	}
	return true
}

// findBitmap finds the entry for the allocation bitmap in the root folder.
func (x *exfatFS) findBitmap() (first uint32, length uint64, err error) {
	err = x.follow(x.root, (maxExFATRoot+x.cluster-1)/x.cluster, func(at uint64) (more bool, err error) {
		b, err := x.v.bytes(at, min(x.cluster, maxExFATRoot))
		if err != nil {
			return false, err
		}
		for len(b) > 0 && b[0] != 0 {
			if b[0] == exfatBitmapEntry {
				first, length = le32(b, 20), le64(b, 24)
				if b[1]&1 != 0 {
					return false, errors.New("its allocation bitmap is that of a second table")
				}
				return false, nil
			}
			b = b[32:]
		}
		return len(b) == 0, nil
	})
	if err == nil && first == 0 {
		err = errors.New("its root folder has no allocation bitmap")
	}
	return first, length, err
}

// follow calls read with the offset of each cluster of a chain, as long as that wants more. A
// chain that goes on longer than n clusters, or ends before, is an error.
func (x *exfatFS) follow(cluster uint32, n uint64, read func(at uint64) (more bool, err error)) error {
	for range n {
		if cluster < 2 || uint64(cluster) >= x.clusters+2 {
			return errors.New("a chain of clusters leaves the file system")
		}
		more, err := read(x.data + uint64(cluster-2)*x.cluster)
		if err != nil || !more {
			return err
		}
		b, err := x.v.bytes(x.fat+uint64(cluster)*4, 4)
		if err != nil {
			return err
		}
		if cluster = le32(b, 0); cluster == exfatEndOfChain {
			return errors.New("a chain of clusters ends too early")
		}
	}
	return errors.New("a chain of clusters is too long")
}
