package fetch

import (
	"multiserver/internal/block"
	"multiserver/internal/writer"
)

// disk hands blocks and runs of zeros to the writer. It limits the runs of zeros, so that the
// writer's queue has room for every slot.
type disk struct {
	writer        *writer.Writer
	window        int
	zeros         []block.Range // not yet handed over
	zerosUnderWay int
}

func newDisk(window int, cfg writer.Config) *disk {
	return &disk{writer: writer.New(cfg), window: window}
}

// write hands a slot's block over.
func (d *disk) write(at int, p *slot) {
	d.writer.Submit(writer.Job{Units: block.Range{Lo: uint64(p.id), Hi: uint64(p.id) + 1}, Data: p.plain, Tag: at})
}

// writeZeros hands a run of zero blocks over, as soon as there is room.
func (d *disk) writeZeros(run block.Range) {
	d.zeros = append(d.zeros, run)
	d.handZeros()
}

func (d *disk) handZeros() {
	for len(d.zeros) > 0 && d.zerosUnderWay < d.window {
		d.writer.Submit(writer.Job{Units: d.zeros[0]})
		d.zeros = d.zeros[1:]
		d.zerosUnderWay++
	}
}

// zerosWritten records that a run is written.
func (d *disk) zerosWritten() {
	d.zerosUnderWay--
	d.handZeros()
}

// zerosPending reports whether a run of zeros is on its way to the target.
func (d *disk) zerosPending() bool { return d.zerosUnderWay+len(d.zeros) > 0 }

// busy reports whether the target does not keep up.
func (d *disk) busy() bool { return d.writer.Waiting() >= max(1, d.window/4) }
