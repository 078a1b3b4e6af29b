package target

import (
	"multiserver/internal/format"
)

// FitsFormat refuses to write an image to a device that is no disk as it is, unless Options.Force
// says so.
func (f *File) FitsFormat(of format.Format) error {
	if !f.device || !of.Foreign() || f.force {
		return nil
	}
	return refused(f.name, "the image is "+of.String()+", from which no machine starts as it is: "+of.Advice()+", and serve that (ClientConfig.Force writes anyway)")
}
