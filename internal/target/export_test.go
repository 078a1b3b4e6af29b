package target

// Readable reports whether t can be read back.
func Readable(t Target) bool {
	v, ok := t.(Verifiable)
	return ok && v.Readable()
}
