// Package signing signs images, and finds what is signed of one that is to be served.
//
// A Job reads an image once, signs its digest and puts the statement where Find looks for it:
// beside the image, or into the slot of a packed one. The manifest that the reading gave is kept for
// the server. docs/signing.md tells what clients make of it.
package signing
