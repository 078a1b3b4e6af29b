//go:build !linux

package target

import "io"

// Claim cannot tell here.
func Claim(string) (claim io.Closer, inUse string, err error) {
	return nil, "this system does not tell whether it is", nil
}
