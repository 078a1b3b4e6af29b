// Package fec encodes and decodes the symbols of a source block: a systematic random
// linear code over GF(2^8). Any K independent symbols rebuild a block of K source
// symbols, and there are 2^32 repair symbols to choose from. It knows no packets and
// no blocks but the one in hand; who needs which symbol is decided elsewhere.
//
// # Use
//
// A sender calls Encoder.Encode with the block and the row to begin with. A receiver
// calls Decoder.Reset with the memory for the block, Add with each symbol in any
// order, and Solve once Needed is 0. Should Solve return ErrSingular, Needed tells how
// many symbols more to ask for.
//
// # The code
//
// This section and testdata suffice to write another implementation. It is frozen.
//
// An encoded block is cut into K source symbols, 1 <= K <= 65535, of T bytes each, in
// order; the last one counts as padded with zeros to T bytes. Encoding symbol ids 0 to
// K-1 are the source symbols; id K+row is the repair symbol of that row, counted from
// 0. Byte i of a repair symbol is the sum over all columns, 0 <= column < K, of
//
//	coefficient(row, column) * byte i of source symbol column
//
// in the field GF(2^8) of polynomials over GF(2) modulo x^8+x^4+x^3+x^2+1 (0x11D), bit
// j of a byte being the factor of x^j; so a sum is an exclusive or. The coefficients do
// not depend on K, on T or on the block:
//
//	coefficient(0, column)   = 1
//	coefficient(row, column) = b if b > 0, 1 if b = 0, where
//	    b    = (word >> (8 * (column mod 8))) mod 256
//	    word = F(F(row) + floor(column / 8) * 0x9E3779B97F4A7C15)
//
//	F(s):                                   (the first output of splitmix64 seeded with s)
//	    z = s + 0x9E3779B97F4A7C15
//	    z = (z xor (z >> 30)) * 0xBF58476D1CE4E5B9
//	    z = (z xor (z >> 27)) * 0x94D049BB133111EB
//	    F = z xor (z >> 31)
//
// in unsigned integers of 64 bits, modulo 2^64. For instance, row 1 begins with the
// bytes 1e 61 39 74 08 ab 41 5e; and the block 00112233445566778899aabbcc with T = 4
// has the repair symbols 00ddeeff, 66aa5c0e and edacffce.
//
// Row 0 is the plain exclusive or: one loss costs no multiplication. A set of K
// symbols is singular about once in 250 times, of K+1 once in 65,000.
//
// # Memory
//
// Decoding e losses takes 2e^2 + 5K + (e+2)T bytes beyond the block: at K = 727 and
// T = 1444, 18 kB for 1% and 120 kB for 10%. A Decoder keeps its memory for the next
// block. An Encoder has 4K bytes.
//
// # Speed
//
// MB/s of source on one core of a Zen 4 server, T = 1444, by the instructions used and
// the share of repair symbols or losses; decoding includes the copy of every symbol.
// Best of five, go test -run xxx -bench . -cpu 1 -benchtime 40ms -count 5 ./internal/fec
//
//	                 encode                       decode
//	          K   1 row     1%     5%    10%   1 lost     1%     5%    10%
//	GFNI    727   40342  15291   3097   1632    19463   9902   2352   1160
//	GFNI   1454   38038   4534   1517    765    20214   5432   1197    539
//	AVX2    727   33993   3805    666    441    19847   3621    780    355
//	AVX2   1454   33108   1842    442    201    16937   1680    389    155
//	SSSE3   727   27167   2104    470    222    14349   1897    375    135
//	SSSE3  1454   26996   1108    148     99    14526    737    233    112
//	none    727   11593    176     38     18    11145    179     32     17
//	none   1454   16192     97     19      9     7851     54     15      7
//
// GFNI is a kernel of this package, on processors that have it and AVX2 (Intel since
// 2021, AMD since 2022); the others are GalMulSliceXor of klauspost/reedsolomon, but
// for the last, a table of this package. The library's own kernels for many rows are
// reached through its Encoder only, whose matrix is fixed when it is made, and which
// allocates: with the matrix at hand 1.0 to 1.5 times as fast as GalMulSliceXor, with
// one made for the block slower.
//
// # Another processor
//
// Tests and benchmarks force each level that the processor has: best, avx2, ssse3,
// none. -tags noasm leaves out the kernel of this package and all of the library's. One
// level alone, the portable build, and arm64:
//
//	go test -run '/^ssse3$' -bench '/^ssse3$' -cpu 1 ./internal/fec
//	go test -tags noasm ./internal/fec
//	GOARCH=arm64 go test -c -o fec.arm64 ./internal/fec
//	(cd internal/fec && qemu-aarch64 ../../fec.arm64 -test.run .)
package fec
