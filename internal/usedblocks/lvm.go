package usedblocks

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// LVM2 on one physical volume: the label, the metadata area's header and the metadata, which is
// text. Extents of no logical volume are unused. A logical volume in one piece that no other one
// is built on is looked into. lib/format_text/layout.h and lib/label/label.h of LVM2; libvslvm's
// description. Time and memory are those of the text, of maxLVMText bytes at most.

const (
	lvmSector, lvmLabels = 512, 4 // a label is in one of the first four sectors
	lvmSumStart          = 0xF597A6CF
	lvmAreaMagic         = " LVM2 x[5A%r0N*>"
	lvmIgnored           = 1
	maxLVMText           = 4 << 20
	maxLVMAreas          = 8
)

var errLVMDamaged = errors.New("its label or its metadata are damaged")

// piece is a part of a volume that is a volume itself.
type piece struct {
	name     string
	at, size uint64
	why      error // it counts as used; nil: it is looked into
}

// lvmLabel is the label in a volume's head; nil if there is none.
func lvmLabel(head []byte) []byte {
	for i := range lvmLabels {
		if len(head) < (i+1)*lvmSector {
			break
		}
		if l := head[i*lvmSector:][:lvmSector]; string(l[:8]) == "LABELONE" && string(l[24:32]) == "LVM2 001" && le64(l, 8) == uint64(i) {
			return l
		}
	}
	return nil
}

func isLVM(head []byte) bool { return lvmLabel(head) != nil }

func lvmSum(b []byte) uint32 { return ^crc32.Update(^uint32(lvmSumStart), crc32.IEEETable, b) }

func readLVM(v *volume, _ *Part) error {
	head, err := v.bytes(0, min(v.size, lvmLabels*lvmSector))
	if err != nil {
		return err
	}
	v.watch(0, head)
	l := lvmLabel(head)
	at := le32(l, 20)
	if lvmSum(l[20:]) != le32(l, 16) || at < 32 || at > lvmSector-40-32 {
		return errLVMDamaged
	}
	id, size := string(l[at:at+32]), le64(l, int(at)+32)
	if size > v.size {
		return fmt.Errorf("it has %d bytes, and the partition %d", size, v.size)
	}
	text, err := readLVMText(v, l[at+40:])
	if err != nil {
		return err
	}
	group, err := parseLVM(text)
	if err != nil {
		return err
	}
	return group.read(v, id)
}

// readLVMText reads the text by the areas that a label lists: those of data, an empty one, those
// of metadata, an empty one.
func readLVMText(v *volume, areas []byte) (text []byte, err error) {
	list, found := 0, 0
	for ; len(areas) >= 16 && list < 2; areas = areas[16:] {
		at, size := le64(areas, 0), le64(areas, 8)
		if at == 0 {
			list++
			continue
		}
		if list == 0 {
			continue
		}
		if found++; found > maxLVMAreas {
			return nil, errLVMDamaged
		}
		t, err := readLVMArea(v, at, size)
		if err != nil {
			return nil, err
		}
		if t != nil && text != nil && !bytes.Equal(t, text) {
			return nil, errors.New("its metadata are being changed: two copies differ")
		}
		if t != nil {
			text = t
		}
	}
	if list < 2 {
		return nil, errLVMDamaged
	}
	if text == nil {
		return nil, errors.New("its metadata are on another physical volume")
	}
	return text, nil
}

// readLVMArea reads the text of one area: a header of a sector, and a ring. It is nil if the area
// is not in use.
func readLVMArea(v *volume, at, size uint64) ([]byte, error) {
	h, err := v.bytes(at, lvmSector)
	if err != nil {
		return nil, err
	}
	v.watch(at, h)
	if lvmSum(h[4:]) != le32(h, 0) || string(h[4:20]) != lvmAreaMagic || le32(h, 20) != 1 || le64(h, 24) != at || le64(h, 32) != size || size <= lvmSector || size > v.size {
		return nil, errLVMDamaged
	}
	first, second := h[40:64], h[64:88]
	if le32(first, 20)&lvmIgnored != 0 || le64(first, 0) == 0 {
		return nil, nil
	}
	if le64(second, 0) != 0 {
		return nil, errors.New("its metadata are being changed")
	}
	from, n := le64(first, 0), le64(first, 8)
	if from < lvmSector || from >= size || n == 0 || n > size-lvmSector || n > maxLVMText {
		return nil, errLVMDamaged
	}
	text, err := v.bytes(at+from, min(n, size-from))
	if err != nil {
		return nil, err
	}
	if rest := n - uint64(len(text)); rest > 0 { // it goes on at the ring's beginning
		more, err := v.bytes(at+lvmSector, rest)
		if err != nil {
			return nil, err
		}
		text = append(text, more...)
	}
	if lvmSum(text) != le32(first, 16) {
		return nil, errLVMDamaged
	}
	return text, nil
}

// lvmSegment is a run of extents of a logical volume.
type lvmSegment struct {
	first, count uint64 // of the logical volume
	kind         string
	stripes      []lvmValue
	others       []string // names that it has in other places: what it is built on
}

// read frees what no logical volume has, and names those that can be looked into.
func (g *lvmSection) read(v *volume, id string) error {
	if len(g.sections) != 1 {
		return errLVMDamaged
	}
	vg := g.sections[0]
	pvs := vg.section("physical_volumes").sections
	if len(pvs) != 1 {
		return fmt.Errorf("it is one of %d physical volumes", len(pvs))
	}
	pv := pvs[0]
	if strings.ReplaceAll(pv.text("id"), "-", "") != id {
		return errors.New("its metadata are another physical volume's")
	}
	if !vg.only("status", "RESIZEABLE", "READ", "WRITE") || !vg.only("flags") || !pv.only("status", "ALLOCATABLE") || !pv.only("flags") || vg.text("format") != "lvm2" {
		return errors.New("its volume group or its physical volume has a state that is not known")
	}
	extent, start, count := vg.number("extent_size"), pv.number("pe_start"), pv.number("pe_count")
	if extent > 1<<32 || start > 1<<48 {
		return errLVMDamaged
	}
	if extent, start = extent*lvmSector, start*lvmSector; extent == 0 || start == 0 || start > v.size || count > (v.size-start)/extent {
		return errLVMDamaged
	}
	used := make([]piece, 0, 16) // in extents
	var volumes []piece
	builtOn := map[string]bool{}
	for _, lv := range vg.section("logical_volumes").sections {
		segments, err := lv.segments()
		if err != nil {
			return err
		}
		whole, why := piece{name: vg.name + "/" + lv.name}, error(nil)
		logical := uint64(0)
		for i, s := range segments {
			logical = s.first + s.count
			for _, other := range s.others {
				if other == pv.name {
					return fmt.Errorf("volume %q is of a kind that is not known: %q", lv.name, s.kind)
				}
				builtOn[other] = true
			}
			if s.kind != "striped" {
				why = fmt.Errorf("it is no linear volume: %q", s.kind)
				continue
			}
			if len(s.stripes) != 2 || s.stripes[0].text != pv.name || s.stripes[1].text != "" || s.stripes[1].number > count || s.count > count-s.stripes[1].number {
				return fmt.Errorf("volume %q has stripes that are not known", lv.name)
			}
			at := s.stripes[1].number
			used = append(used, piece{at: at, size: s.count})
			switch {
			case i == 0:
				whole.at, whole.size = at, s.count
			case at == whole.at+whole.size:
				whole.size += s.count
			default:
				why = errors.New("it is in several pieces")
			}
		}
		if !lv.only("status", "READ", "WRITE", "VISIBLE", "FIXED_MINOR") || !lv.only("flags") {
			why = errors.New("it has a state that is not known")
		}
		if !lv.has("status", "VISIBLE") { // a part of another one
			continue
		}
		if whole.why = why; why != nil {
			whole.at, whole.size = 0, min(logical, count)
		}
		volumes = append(volumes, whole)
	}
	slices.SortFunc(used, func(a, b piece) int { return cmp.Compare(a.at, b.at) })
	end := uint64(0)
	for _, u := range append(used, piece{at: count}) {
		if u.at < end {
			return errors.New("its logical volumes overlap")
		}
		if err := v.free(start+end*extent, start+u.at*extent); err != nil {
			return err
		}
		end = u.at + u.size
	}
	for _, p := range volumes {
		p.at, p.size = start+p.at*extent, p.size*extent
		if _, name, _ := strings.Cut(p.name, "/"); builtOn[name] && p.why == nil {
			p.why = errors.New("another volume is built on it")
		}
		v.pieces = append(v.pieces, p)
	}
	return nil
}

// segments are those of a logical volume, in order.
func (lv *lvmSection) segments() (all []lvmSegment, err error) {
	next := uint64(0)
	for i := range lv.number("segment_count") {
		s := lv.section(fmt.Sprintf("segment%d", i+1))
		g := lvmSegment{first: s.number("start_extent"), count: s.number("extent_count"), kind: s.text("type"), stripes: s.value("stripes")}
		if s.name == "" || g.count == 0 || g.first != next || g.count > 1<<40 {
			return nil, errLVMDamaged
		}
		next += g.count
		for _, o := range s.values {
			if o.name == "type" || o.name == "stripes" && g.kind == "striped" {
				continue
			}
			for _, v := range o.list {
				g.others = append(g.others, v.text)
			}
		}
		all = append(all, g)
	}
	if len(all) == 0 || len(all) != len(lv.sections) {
		return nil, errLVMDamaged
	}
	return all, nil
}
