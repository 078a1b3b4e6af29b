// Package codec makes the bytes of MXB 2's objects: the encoded block, the image's
// digest and the manifest. It knows nothing of symbols, packets and files.
//
// A sender reads a block's plain bytes behind HeaderSize reserved bytes, asks
// IsZero, and else lets EncodeHeaderInto fill the bytes in front; a ManifestBuilder
// takes the digest. A body that a ZstdEncoder made takes the place of plain bytes if it Saves
// enough. A receiver's Decoder verifies; the digest is then compared with its Manifest's.
//
// Every integer is big-endian. BLAKE3 is meant with 32 bytes of output. Reserved
// bytes are sent as zero and ignored when received.
//
// # Encoded block
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     codec     |                   reserved                    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                          plain size                           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                           body size                           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                                                               |
//	+                     digest of the plain bytes                 +
//	|                           (32 bytes)                          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                      body (body size bytes)                 ...
//
//	codec       0 raw: the body is the plain bytes, and body size = plain size.
//	            1 zstd: the body is exactly one zstd frame (RFC 8878), which tells
//	            its size, the plain size, and needs no dictionary, and a window of
//	            16 MiB at most. 2 s2, 3 encrypted: reserved. A receiver refuses
//	            each number that it does not implement.
//	plain size  bytes of the block, 1 to 2^24. A receiver knows what it must be
//	            from the object's size and the block's number, and refuses another.
//	body size   bytes behind the header, 1 to 2^24 + 20.
//	digest      BLAKE3 of the plain bytes, neither keyed nor derived.
//
// The encoded size, 44 + body size, is what is cut into source symbols. What
// follows the body, up to a whole number of symbols, is zero when the repair code is
// computed and is ignored here.
//
// # Image digest
//
// BLAKE3 in its mode of key derivation, with the context string
// "multiserver 2026 image digest v1", of
//
//	image size   u64, bytes
//	block size   u32, bytes
//	digests      32 bytes for each block in order of their numbers: BLAKE3 of the
//	             block's plain bytes. The last block may be short.
//
// A block of zeros is no exception: its digest is BLAKE3 of its size in zero bytes.
//
// # Manifest
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                   magic, 0x4D58424D ("MXBM")                  |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  version = 1  |                   reserved                    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                                                               |
//	+                       image size (u64, bytes)                 +
//	|                                                               |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                       block size (u32, bytes)                 |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                  map of zeros (ceil(n/8) bytes)             ...
//	|                 digests (32 bytes × (n − z))                ...
//	|                 digest of the manifest (32 bytes)           ...
//
//	n        the count of blocks, ceil(image size / block size), at most 2^26.
//	map      block i is bit i mod 8, of value 2^(i mod 8), of byte i/8; 1 if all of
//	         the block's bytes are zero. The bits from n on are 0.
//	z        the count of ones in the map.
//	digests  of each block that is not zero, in order of their numbers: BLAKE3 of
//	         the plain bytes.
//	digest of the manifest
//	         BLAKE3 in its mode of key derivation, with the context string
//	         "multiserver 2026 manifest v1", of all bytes in front of it.
//
// Nothing follows. An image and a block size have one manifest only: a receiver
// refuses one in which a block is not marked zero and has the digest of zeros. The
// size is 52 + ceil(n/8) + 32·(n−z) bytes: no more than 52 and 33 a block.
package codec
