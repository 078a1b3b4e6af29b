//go:build !amd64 || noasm

package fec

import "testing"

// simdLevels has one entry: nothing can be forced here.
var simdLevels = []string{"best"}

func setSIMD(testing.TB, string) {}
