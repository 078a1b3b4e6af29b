// Package statement is what a signer says of an image, and who is believed.
//
// A Statement is a short text: name, size and digest of one image, with a serial number. Sign signs
// it in minisign's format (Ed25519 over BLAKE2b-512, https://jedisct1.github.io/minisign/), so that
// the minisign program checks it too. Trusted is a list of public keys: Verify returns the statement
// if one of them signed it, byte for byte as it is.
//
// The digest is the image's, as in docs/protocol.md. It covers the size, the block size and the
// digest of each block, so a statement of a few hundred bytes covers an image of any size, and does
// not depend on how the image is stored or sent.
package statement
