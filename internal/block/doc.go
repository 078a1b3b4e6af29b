// Package block cuts an image into numbered blocks and keeps sets of their
// numbers. It holds no bytes of the image.
//
// A Set reports which blocks are present, missing or still to send; both protocols
// use it, MXB 1 over its 1024-byte blocks.
package block
