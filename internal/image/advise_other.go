//go:build !linux

package image

import "os"

func adviseSequential(*os.File) {}
