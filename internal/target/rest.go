package target

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"multiserver/internal/partition"
	"multiserver/internal/signature"
)

// RestReport is what FinishRest found and did. Its texts are half sentences.
type RestReport struct {
	// Found are the signatures behind the image that are still there, in a line; "" if there
	// are none.
	Found string
	// Done says what was altered, once for each thing, and AlteredBytes how many bytes that
	// are, also if an earlier run did it. Those in the image's range read back as the image before
	// that. CutBytes are those of the image's end that a smaller device has no place for.
	Done         []string
	AlteredBytes uint64
	CutBytes     uint64
	// Advice says what may be wanted and was not asked for, or why what was asked for was not
	// done.
	Advice []string
}

// FinishRest looks at what lies behind the image on a larger device, clears old signatures there
// if Options.WipeRest says so, and moves the image's backup GPT to the end if Options.FitGPT does.
// It also moves it on a smaller device, where Options.TruncateUnused left out the image's end. It
// is called after Sync, once the image has been read back if that is asked for; what it writes is
// synced, and read back from the device.
func (f *File) FinishRest() (r RestReport, err error) {
	if f.isCut() {
		return r, f.finishCut(&r)
	}
	if !f.device || !f.readable || f.capacity == f.size {
		return r, nil
	}
	found, err := signature.Find(f.file, f.size, f.capacity)
	if err != nil {
		r.Advice = append(r.Advice, fmt.Sprintf("what lies behind the image on %s cannot all be read: %v", f.name, bare(err)))
	}
	if partition.BackupInPlace(f.file, f.capacity, f.sector) {
		found = slices.DeleteFunc(found, func(each signature.Found) bool { return each.Off+uint64(f.sector) == f.capacity })
	}
	if f.wipeRest && len(found) > 0 {
		var writes []partition.Write
		for _, each := range found {
			writes = append(writes, partition.Write{Off: each.Clear.Lo, Bytes: make([]byte, each.Clear.Hi-each.Clear.Lo)})
		}
		if err := f.alter(&r, "old signatures behind the image were cleared: "+listFound(found), writes); err != nil {
			return r, err
		}
		found = nil
	}
	moved, err := f.fitBackup(&r)
	if err != nil {
		return r, err
	}
	var left []signature.Found
	for _, each := range found {
		if !moved || each.Off+uint64(f.sector) != f.capacity { // that is the new backup's place
			left = append(left, each)
		}
	}
	r.Found = listFound(left)
	return r, nil
}

// fitBackup moves the backup GPT if that is asked for, and otherwise says how.
func (f *File) fitBackup(r *RestReport) (moved bool, err error) {
	head := make([]byte, min(f.size, partition.HeadSize))
	if err := readFull(f.file, f.name, head, 0); err != nil {
		return false, err
	}
	if !partition.HasGPT(head, f.sector) {
		if f.fitGPT {
			r.Advice = append(r.Advice, "no backup GPT was moved: the image does not begin with a GPT for this disk")
		}
		return false, nil
	}
	move, err := partition.MoveBackup(f.file, f.capacity, f.sector)
	switch {
	case err != nil && f.fitGPT:
		r.Advice = append(r.Advice, fmt.Sprintf("no backup GPT was moved: %v", bare(err)))
		return false, nil
	case err != nil:
		return false, nil
	case !f.fitGPT:
		if move.From/uint64(f.sector)+1 != f.capacity/uint64(f.sector) {
			r.Advice = append(r.Advice, fmt.Sprintf("the image's backup GPT is at offset %d and not at the end of %s: ClientConfig.FitGPT moves it", move.From, f.name))
		}
		return false, nil
	}
	return len(move.Backup) > 0, f.fit(r, move)
}

// fit carries out a move.
func (f *File) fit(r *RestReport, move partition.Move) error {
	if move.Bytes() == 0 && f.fitted.Bytes() > 0 {
		r.AlteredBytes += f.fitted.Bytes()
		r.Done = append(r.Done, fmt.Sprintf("the GPT of an earlier run that fits %s was kept", f.name))
	}
	// The two copies one after the other, so that one is whole at any time.
	if len(move.Backup) > 0 {
		if err := f.alter(r, fmt.Sprintf("the backup GPT was moved from offset %d to the end of %s", move.From, f.name), move.Backup); err != nil {
			return err
		}
	}
	if len(move.Primary) == 0 {
		return nil
	}
	return f.alter(r, "the GPT and the protective MBR tell of its place", move.Primary)
}

// alter puts writes on the device, and reads them back from it.
func (f *File) alter(r *RestReport, done string, writes []partition.Write) error {
	if f.err != nil {
		return f.err
	}
	for _, w := range writes {
		if f.err = f.write(w.Bytes, w.Off); f.err != nil {
			return f.err
		}
		r.AlteredBytes += uint64(len(w.Bytes))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := flushCache(f.file, f.device); err != nil {
		return failed("empty the page cache of", f.name, err)
	}
	for _, w := range writes {
		p := make([]byte, len(w.Bytes))
		if err := readFull(f.file, f.name, p, w.Off); err != nil {
			return err
		}
		if !bytes.Equal(p, w.Bytes) {
			return failedAt("read back", f.name, w.Off, errors.New("it holds other bytes than were written"))
		}
	}
	r.Done = append(r.Done, done)
	return nil
}

func listFound(found []signature.Found) string {
	texts := make([]string, len(found))
	for i, each := range found {
		texts[i] = each.String()
	}
	return strings.Join(texts, ", ")
}
