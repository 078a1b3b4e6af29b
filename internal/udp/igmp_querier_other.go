//go:build !linux

package udp

import (
	"errors"
	"os"
)

func openIGMP(int) (*os.File, error) { return nil, errors.ErrUnsupported }

func sendIGMP(*os.File, int, []byte) error { return errors.ErrUnsupported }
