package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// evex emits an instruction op zDst, zV, zM of 512 bits in map 0F38 by its bytes, for
// neither avo nor Go's assembler knows those of AVX512_BF16. Prefix is 2 for F3, 3
// for F2.
func evex(prefix, opcode int, dst, v, m reg.VecPhysical) {
	r := index(m)
	emit(append(evexPrefix(prefix, dst, v, r>>4, r>>3, 0), opcode, 0xc0|index(dst)&7<<3|r&7))
}

// evexBroadcast is evex whose zM is one float32 of memory in all lanes.
func evexBroadcast(prefix, opcode int, dst, v reg.VecPhysical, m Mem) {
	base, at, sib := index(m.Base), 0, 0x20 // no index
	if m.Index != nil {
		at = index(m.Index)
		sib = at & 7 << 3
	}
	code := append(evexPrefix(prefix, dst, v, at>>3, base>>3, 1), opcode, 0x84|index(dst)&7<<3, sib|base&7)
	emit(append(code, m.Disp, m.Disp>>8, m.Disp>>16, m.Disp>>24))
}

// evexPrefix makes the first four bytes; of x and b, which extend zM or its address,
// the lowest bit counts.
func evexPrefix(prefix int, dst, v reg.VecPhysical, x, b, broadcast int) []int {
	d, u := index(dst), index(v)
	not := func(x, at int) int { return ^x & 1 << at }
	return []int{
		0x62,
		0x02 | not(d>>3, 7) | not(x, 6) | not(b, 5) | not(d>>4, 4),
		0x04 | prefix | (^u&15)<<3,
		0x40 | broadcast<<4 | not(u>>4, 3),
	}
}

func index(r reg.Register) int { return int(reg.ToPhysical(r).PhysicalIndex()) }

// emit writes the bytes of an instruction.
func emit(code []int) {
	for ; len(code) >= 4; code = code[4:] {
		Instruction(&ir.Instruction{Opcode: "LONG", Operands: []Op{U32(code[0]&255 | code[1]&255<<8 | code[2]&255<<16 | code[3]&255<<24)}})
	}
	for _, b := range code {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}})
	}
}
