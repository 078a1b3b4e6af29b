package usedblocks

import "errors"

// The log is a ring of sectors of 512 bytes, each of which begins with the number of its cycle, or
// with a record's header that has it. The head is where the cycle falls by one. After unmount the
// record before the head is one that says so, and nothing has to be replayed.
// fs/xfs/xfs_log_recover.c: xlog_find_head, xlog_find_tail.

const (
	xfsLogSector   = 512
	xfsLogMagic    = 0xFEEDBABE
	xfsUnmountFlag = 0x20
	// xfsLogSearch is how far before the head its record may begin: records are padded to the
	// log's stripe unit, of 256 KiB at most.
	xfsLogSearch  = 1024 // sectors
	xfsHeaderData = 32768
)

// errXFSLog: there may be something to replay.
var errXFSLog = errors.New("its log has to be replayed: it is mounted, or was not unmounted")

// checkLog returns an error unless the log ends with the record of an unmount.
func (x *xfsFS) checkLog(super []byte) error {
	start, shift := be64(super, 48), super[124]
	group, block := start>>(shift&63), start&(1<<(shift&63)-1)
	sectors := uint64(be32(super, 96)) * x.blockSize / xfsLogSector
	if shift > 32 || group >= x.groups || block >= x.groupBlocks || sectors < 2 {
		return errors.New("its log is nowhere")
	}
	at := (group*x.groupBlocks + block) * x.blockSize
	cycle := func(n uint64) (uint32, error) {
		b, err := x.v.bytes(at+n*xfsLogSector, 8)
		if err != nil {
			return 0, err
		}
		if be32(b, 0) == xfsLogMagic {
			return be32(b, 4), nil
		}
		return be32(b, 0), nil
	}
	first, err := cycle(0)
	if err != nil {
		return err
	}
	last, err := cycle(sectors - 1)
	if err != nil {
		return err
	}
	head := sectors // if the whole log is of one cycle
	if first != last {
		if first == 0 || last != first-1 {
			return errXFSLog
		}
		lo, hi := uint64(0), sectors-1 // of the first cycle, and not
		for hi-lo > 1 {
			middle := (lo + hi) / 2
			c, err := cycle(middle)
			if err != nil {
				return err
			}
			if c == first {
				lo = middle
			} else {
				hi = middle
			}
		}
		head = hi
	}
	return x.checkHead(at, head, sectors)
}

// checkHead looks for the last record before sector head of the log at an offset.
func (x *xfsFS) checkHead(at, head, sectors uint64) error {
	from := head - min(head, xfsLogSearch)
	b, err := x.v.bytes(at+from*xfsLogSector, (head-from)*xfsLogSector)
	if err != nil {
		return err
	}
	// The next record changes what comes at the head.
	next := head % sectors
	after, err := x.v.bytes(at+next*xfsLogSector, xfsLogSector)
	if err != nil {
		return err
	}
	x.v.watch(at+next*xfsLogSector, after)
	for n := int(head-from) - 1; n >= 0; n-- {
		h := b[n*xfsLogSector:]
		if be32(h, 0) != xfsLogMagic {
			continue
		}
		version, length, operations := be32(h, 8), uint64(be32(h, 12)), be32(h, 40)
		headers := uint64(1)
		if size := uint64(be32(h, 320)); version&2 != 0 && size > xfsHeaderData {
			headers = (size + xfsHeaderData - 1) / xfsHeaderData
		}
		data := uint64(n) + headers
		end := data + (length+xfsLogSector-1)/xfsLogSector
		if from+end != head || operations != 1 || data >= head-from {
			return errXFSLog
		}
		// The operation: transaction, length, client, flags. Its first word was exchanged for the
		// cycle.
		if b[data*xfsLogSector+9]&xfsUnmountFlag == 0 {
			return errXFSLog
		}
		return nil
	}
	return errXFSLog
}
