//go:build !linux

package target

// MountedAt does not know here.
func MountedAt(string) string { return "" }
