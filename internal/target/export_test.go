package target

// Readable tells whether t can be read back.
func Readable(t Target) bool {
	v, ok := t.(Verifiable)
	return ok && v.Readable()
}
