//go:build !noasm

#include "textflag.h"

// 64 bytes of zeros, 64 of ones: read at 64-n it keeps all but the first n bytes.
DATA keep<>+0x40(SB)/8, $0xFFFFFFFFFFFFFFFF
DATA keep<>+0x48(SB)/8, $0xFFFFFFFFFFFFFFFF
DATA keep<>+0x50(SB)/8, $0xFFFFFFFFFFFFFFFF
DATA keep<>+0x58(SB)/8, $0xFFFFFFFFFFFFFFFF
DATA keep<>+0x60(SB)/8, $0xFFFFFFFFFFFFFFFF
DATA keep<>+0x68(SB)/8, $0xFFFFFFFFFFFFFFFF
DATA keep<>+0x70(SB)/8, $0xFFFFFFFFFFFFFFFF
DATA keep<>+0x78(SB)/8, $0xFFFFFFFFFFFFFFFF
GLOBL keep<>(SB), RODATA|NOPTR, $128

// ADD_ROW adds the product of the 64 source bytes in Y8, Y9 to a row's sum.
#define ADD_ROW(matrix, sum0, sum1) \
	VPBROADCASTQ   matrix, Y10           \
	VGF2P8AFFINEQB $0, Y10, Y8, Y11      \
	VGF2P8AFFINEQB $0, Y10, Y9, Y12      \
	VPXOR          Y11, sum0, sum0       \
	VPXOR          Y12, sum1, sum1

// STORE_ROW adds a row's sum, where the mask keeps it, to the row.
#define STORE_ROW(row, sum0, sum1) \
	VPAND   Y14, sum0, sum0            \
	VPAND   Y15, sum1, sum1            \
	VPXOR   (row)(BX*1), sum0, sum0    \
	VPXOR   32(row)(BX*1), sum1, sum1  \
	VMOVDQU sum0, (row)(BX*1)          \
	VMOVDQU sum1, 32(row)(BX*1)

// func mulAddGFNI(dst *[tileRows]*byte, matrices *[gfniColumns][tileRows]uint64, src *byte, symbolSize, columns int)
TEXT ·mulAddGFNI(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), AX
	MOVQ 0(AX), R8
	MOVQ 8(AX), R9
	MOVQ 16(AX), R10
	MOVQ 24(AX), R11
	MOVQ matrices+8(FP), SI
	MOVQ src+16(FP), DI
	MOVQ symbolSize+24(FP), DX

	// CX is the end of the matrices in use: 32 bytes a column.
	MOVQ columns+32(FP), CX
	SHLQ $5, CX
	ADDQ SI, CX

	XORQ     BX, BX        // offset in the symbol
	VPCMPEQB Y14, Y14, Y14
	VPCMPEQB Y15, Y15, Y15

stride:
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
	VPXOR Y6, Y6, Y6
	VPXOR Y7, Y7, Y7
	LEAQ  (DI)(BX*1), R12
	MOVQ  SI, R13

column:
	VMOVDQU (R12), Y8
	VMOVDQU 32(R12), Y9
	ADD_ROW(0(R13), Y0, Y1)
	ADD_ROW(8(R13), Y2, Y3)
	ADD_ROW(16(R13), Y4, Y5)
	ADD_ROW(24(R13), Y6, Y7)
	ADDQ    DX, R12
	ADDQ    $32, R13
	CMPQ    R13, CX
	JB      column

	STORE_ROW(R8, Y0, Y1)
	STORE_ROW(R9, Y2, Y3)
	STORE_ROW(R10, Y4, Y5)
	STORE_ROW(R11, Y6, Y7)

	ADDQ $64, BX
	LEAQ 64(BX), AX
	CMPQ AX, DX
	JBE  stride
	CMPQ BX, DX
	JAE  done

	// The last stride ends with the symbol. Of its 64 bytes the first
	// 64 - (DX - BX) are done already: the mask leaves them as they are.
	MOVQ    DX, AX
	SUBQ    BX, AX
	LEAQ    keep<>(SB), R12
	VMOVDQU (R12)(AX*1), Y14
	VMOVDQU 32(R12)(AX*1), Y15
	LEAQ    -64(DX), BX
	JMP     stride

done:
	VZEROUPPER
	RET
