package usedblocks

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf16"
)

var errNTFSDirty = errors.New("it is mounted, or was not unmounted")

// checkVolume asks $Volume.
func (n *ntfsFS) checkVolume() error {
	attrs, err := n.readRecord(ntfsVolume, 0)
	if err != nil {
		return err
	}
	info, err := find(attrs, ntfsVolumeInfo)
	if err != nil || len(info.resident) < 12 {
		return errNTFSDamaged
	}
	if le16(info.resident, 10)&ntfsDirtyFlags != 0 {
		return errNTFSDirty
	}
	if info.resident[8] != 3 || info.resident[9] > 1 {
		return errors.New("a version that is not known")
	}
	return nil
}

// checkLog asks the restart pages of $LogFile. An empty log is all ones.
func (n *ntfsFS) checkLog() error {
	attrs, err := n.readRecord(ntfsLogFile, 0)
	if err != nil {
		return err
	}
	data, err := find(attrs, ntfsData)
	if err != nil || len(data.runs) == 0 {
		return errNTFSDamaged
	}
	const page, most = 4096, 64 << 10
	found, latest, clean := false, uint64(0), false
	size := uint64(page)
	for i := range uint64(2) {
		at, ok := n.offset(data.runs, i*size, size)
		if !ok {
			return errNTFSDirty
		}
		b, err := n.v.bytes(at, size)
		if err != nil {
			return err
		}
		n.v.watch(at, bytes.Clone(b))
		switch string(b[:4]) {
		case "\xFF\xFF\xFF\xFF":
			continue
		case "RSTR":
		default:
			return errNTFSDirty
		}
		if i == 0 {
			if size = uint64(le32(b, 16)); size < page || size > most || size&(size-1) != 0 {
				return errNTFSDirty
			}
			if size > page {
				if b, err = n.v.bytes(at, min(size, n.v.size-at)); err != nil || uint64(len(b)) < size {
					return errNTFSDirty
				}
			}
		}
		area := int(le16(b, 24))
		if !fixUp(b) || area+16 > len(b) || !known(le16(b, 28), le16(b, 26)) {
			return errNTFSDirty
		}
		if lsn := le64(b, area); !found || lsn > latest {
			found, latest = true, lsn
			clean = le16(b, area+12) == ntfsNoClient || le16(b, area+14)&ntfsLogClean != 0
		}
	}
	if found && !clean {
		return errors.New("its log has to be replayed: it is mounted, or was not unmounted")
	}
	return nil
}

// known are the versions of the log: 1.1, and 2.0 since Windows 8.
func known(major, minor uint16) bool { return major == 1 && minor == 1 || major == 2 && minor == 0 }

// checkHibernation looks for hiberfil.sys in the root folder. Windows leaves it behind at a fast
// start-up too; then the kernel's memory has more of the file system than the disk.
func (n *ntfsFS) checkHibernation() error {
	attrs, err := n.readRecord(ntfsRoot, 0)
	if err != nil {
		return err
	}
	if _, err := find(attrs, ntfsAttributeList); err == nil {
		return errors.New("its root folder is spread over several records, so nobody can tell whether it is hibernated")
	}
	root, err := find(attrs, ntfsIndexRoot)
	if err != nil || len(root.resident) < 32 {
		return errNTFSDamaged
	}
	if err := n.scanIndex(root.resident[16:]); err != nil {
		return err
	}
	size := uint64(le32(root.resident, 8)) // of the blocks of the index
	blocks, err := find(attrs, ntfsIndexAllocation)
	if err != nil {
		return nil // all of it is in the root
	}
	if size < 512 || size > 64<<10 || size&(size-1) != 0 || blocks.size > maxNTFSIndex {
		return errors.New("its root folder is larger than is read")
	}
	for at := uint64(0); at+size <= blocks.size; at += size {
		off, ok := n.offset(blocks.runs, at, size)
		if !ok {
			return errNTFSDamaged
		}
		b, err := n.v.bytes(off, size)
		if err != nil {
			return err
		}
		if string(b[:4]) != "INDX" { // not in use
			continue
		}
		if !fixUp(b) {
			return errNTFSDamaged
		}
		if err := n.scanIndex(b[24:]); err != nil {
			return err
		}
	}
	return nil
}

// scanIndex looks through the entries behind the header of a part of the root folder.
func (n *ntfsFS) scanIndex(b []byte) error {
	const nameAt, entryHead, last = 16 + 66, 16, 0x2
	at, end := uint64(le32(b, 0)), min(uint64(le32(b, 4)), uint64(len(b)))
	for at+entryHead <= end {
		e := b[at:end]
		length := uint64(le16(e, 8))
		if le16(e, 12)&last != 0 {
			return nil
		}
		if length < entryHead || length > uint64(len(e)) {
			return errNTFSDamaged
		}
		if length >= nameAt {
			name := e[nameAt:length]
			name = name[:min(2*int(e[nameAt-2]), len(name)/2*2)]
			units := make([]uint16, len(name)/2)
			for i := range units {
				units[i] = le16(name, 2*i)
			}
			if strings.EqualFold(string(utf16.Decode(units)), "hiberfil.sys") {
				if err := n.checkHiberfil(le64(e, 0)); err != nil {
					return err
				}
			}
		}
		at += length
	}
	return errNTFSDamaged
}

// checkHiberfil looks at how the file begins: with zeros after a resume that was complete.
func (n *ntfsFS) checkHiberfil(reference uint64) error {
	errHibernated := errors.New("it belongs to a Windows that is hibernated, or was shut down for a fast start-up")
	attrs, err := n.readRecord(reference&(1<<48-1), uint16(reference>>48))
	if err != nil {
		return errHibernated
	}
	if attrs == nil {
		return nil // an entry of a file that was deleted
	}
	data, err := find(attrs, ntfsData)
	if err != nil {
		return errHibernated // its data is in other records
	}
	const page = 4096
	if data.size < page {
		return nil
	}
	at, ok := n.offset(data.runs, 0, page)
	if !ok {
		return errHibernated
	}
	b, err := n.v.bytes(at, page)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, make([]byte, page)) {
		return errHibernated
	}
	return nil
}
