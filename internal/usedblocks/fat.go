package usedblocks

import (
	"bytes"
	"errors"
	"fmt"
)

// FAT12, FAT16 and FAT32: the boot sector and the allocation tables. A cluster is free if its entry
// is 0. Microsoft's fatgen103; ECMA-107. Time is that of reading the tables, which lie within the
// volume.

const (
	fatChunk           = 96 << 10 // of whole entries of all three
	fatStateDirty      = 0x1 | 0x2
	maxFATClusters32   = 0x0FFFFFF5
	fat12Max, fat16Max = 4085, 65525 // clusters, from which on it is the next kind
)

// fatFS is one of them. Sizes are in bytes.
type fatFS struct {
	bits              int // of an entry: 12, 16, 32
	table, tableBytes uint64
	tables            uint64
	active            uint64 // the table that counts
	mirrored          bool   // the others are copies
	data, cluster     uint64
	clusters          uint64
	state             byte // the mark that Linux makes
}

// isFAT: there is no magic that all have.
func isFAT(head []byte) bool {
	if len(head) < 512 || head[510] != 0x55 || head[511] != 0xAA {
		return false
	}
	if jump := head[0] == 0xEB && head[2] == 0x90 || head[0] == 0xE9; !jump {
		return false
	}
	if string(head[54:57]) != "FAT" && string(head[82:87]) != "FAT32" {
		return false
	}
	_, err := parseFAT(head)
	return err == nil || !errors.Is(err, errNoFAT)
}

var (
	errNoFAT  = errors.New("it is no FAT")
	errBadFAT = errors.New("its boot sector contradicts itself")
)

// parseFAT reads the boot sector.
func parseFAT(b []byte) (fatFS, error) {
	sector, perCluster := uint64(le16(b, 11)), uint64(b[13])
	if sector < 512 || sector > 4096 || sector&(sector-1) != 0 || perCluster == 0 || perCluster&(perCluster-1) != 0 {
		return fatFS{}, errNoFAT
	}
	reserved, tables, roots := uint64(le16(b, 14)), uint64(b[16]), uint64(le16(b, 17))
	sectors, tableSectors := uint64(le16(b, 19)), uint64(le16(b, 22))
	if sectors == 0 {
		sectors = uint64(le32(b, 32))
	}
	is32 := tableSectors == 0
	f := fatFS{tables: tables, mirrored: true, cluster: perCluster * sector, state: b[0x25]}
	if is32 {
		tableSectors = uint64(le32(b, 36))
		f.state = b[0x41]
		if flags := le16(b, 40); flags&0x80 != 0 {
			f.mirrored, f.active = false, uint64(flags&0xF)
		}
		if le16(b, 42) != 0 || roots != 0 {
			return fatFS{}, errBadFAT
		}
	}
	before := reserved + tables*tableSectors + (roots*32+sector-1)/sector
	if reserved == 0 || tables == 0 || tables > 4 || f.active >= tables || tableSectors == 0 || roots == 0 && !is32 || before >= sectors {
		return fatFS{}, errBadFAT
	}
	f.table, f.tableBytes, f.data = reserved*sector, tableSectors*sector, before*sector
	f.clusters = (sectors - before) / perCluster
	switch {
	case f.clusters < fat12Max:
		f.bits = 12
	case f.clusters < fat16Max:
		f.bits = 16
	default:
		f.bits = 32
	}
	// Some take a FAT32 with few clusters for a FAT16, some do not.
	if is32 != (f.bits == 32) || f.clusters == 0 || f.clusters > maxFATClusters32 || (f.clusters+2)*uint64(f.bits) > f.tableBytes*8 {
		return fatFS{}, errBadFAT
	}
	return f, nil
}

func readFAT(v *volume, _ *Part) error {
	boot, err := v.bytes(0, 512)
	if err != nil {
		return err
	}
	f, err := parseFAT(boot)
	if err != nil {
		return err
	}
	v.watch(0, boot)
	if end := f.data + f.clusters*f.cluster; end > v.size {
		return fmt.Errorf("it reaches to byte %d, and the partition has %d", end, v.size)
	}
	if f.state&fatStateDirty != 0 {
		return errors.New("it is mounted, or was not unmounted")
	}
	return f.readTables(v)
}

// readTables frees what the table says is free.
func (f *fatFS) readTables(v *volume) error {
	chunk, copied := make([]byte, fatChunk), make([]byte, fatChunk)
	each := uint64(fatChunk) * 8 / uint64(f.bits) // entries in a chunk
	entries := f.clusters + 2
	for at := uint64(0); at < entries; at += each {
		off := at / each * fatChunk
		n := min(fatChunk, f.tableBytes-off)
		if err := v.readAt(chunk[:n], f.table+f.active*f.tableBytes+off); err != nil {
			return err
		}
		// The bytes behind the last entry may be anything.
		used := min(n, ((min(each, entries-at))*uint64(f.bits)+7)/8)
		if f.mirrored && f.tables > 1 {
			for i := range f.tables {
				if i == f.active {
					continue
				}
				if err := v.readAt(copied[:n], f.table+i*f.tableBytes+off); err != nil {
					return err
				}
				if !bytes.Equal(chunk[:used], copied[:used]) {
					return errors.New("its allocation tables are not the same: check it with fsck.fat")
				}
			}
		}
		if at == 0 {
			v.watch(f.table, bytes.Clone(chunk[:min(n, 512)]))
			if !f.clean(chunk) {
				return errors.New("it is mounted, or was not unmounted")
			}
		}
		for i := range min(each, entries-at) {
			if at+i < 2 || f.entry(chunk, i) != 0 {
				continue
			}
			lo := f.data + (at+i-2)*f.cluster
			if err := v.free(lo, lo+f.cluster); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry is entry i of a chunk of the table.
func (f *fatFS) entry(b []byte, i uint64) uint32 {
	switch f.bits {
	case 12:
		v := le16(b, int(i*3/2))
		if i%2 != 0 {
			return uint32(v >> 4)
		}
		return uint32(v & 0xFFF)
	case 16:
		return uint32(le16(b, int(2*i)))
	}
	return le32(b, int(4*i)) & 0x0FFFFFFF
}

// clean reports what the second entry says: that it was unmounted, and no read had failed.
func (f *fatFS) clean(b []byte) bool {
	switch f.bits {
	case 16:
		return f.entry(b, 1)&0xC000 == 0xC000
	case 32:
		return f.entry(b, 1)&0x0C000000 == 0x0C000000
	}
	return true
}
