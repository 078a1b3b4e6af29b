//go:build !linux

package target

// Reread does nothing: there are no devices here.
func (f *File) Reread() error { return nil }
