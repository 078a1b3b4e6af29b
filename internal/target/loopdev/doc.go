// Package loopdev makes block devices of files, for the tests of this and other packages.
package loopdev
