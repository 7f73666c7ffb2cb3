package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// Neither avo nor Go's assembler knows AVX512_BF16. Its instructions are written
// as others with the same kinds of operands, which allot registers, and spelt out
// in bytes once the registers are known.

// dotPairs adds products of pairs: to each number of c that of the pairs' high
// halves, then that of the low ones. They are registers.
func dotPairs(a, b, c reg.Register) { VPDPWSSD(a, b, c) }

// narrow converts 32 numbers to bfloat16, those of low to the lower half of d.
// They are registers.
func narrow(low, high, d reg.Register) { VPDPWSSDS(low, high, d) }

// spelling is an instruction of three registers: EVEX, 512 bits, map 0F38, W0.
type spelling struct {
	name   string
	prefix byte // pp of EVEX
	opcode byte
}

var spellings = map[string]spelling{
	"VPDPWSSD":  {"VDPBF16PS", 2, 0x52},
	"VPDPWSSDS": {"VCVTNE2PS2BF16", 3, 0x72},
}

var standIn = regexp.MustCompile(`(?m)^\t(VPDPWSSDS?)\s.*$`)

// spell replaces what stands for instructions of AVX512_BF16 in an assembly file.
func spell(file string) error {
	text, err := os.ReadFile(file)
	if err != nil || !standIn.Match(text) {
		return err
	}
	text = standIn.ReplaceAllFunc(text, func(line []byte) []byte {
		name, operands, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		var rm, v, r byte
		if n, scan := fmt.Sscanf(strings.TrimSpace(operands), "Z%d, Z%d, Z%d", &rm, &v, &r); n != 3 {
			err = fmt.Errorf("%s: %q: %w", file, line, scan)
		}
		s := spellings[name]
		return fmt.Appendf(nil, "\tLONG $0x%08x; WORD $0x%04x // %s Z%d, Z%d, Z%d", s.start(rm, v, r), s.end(rm, r), s.name, rm, v, r)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "AVX512VNNI", "AVX512_BF16")), 0o644)
}

// start is the prefix of four bytes, the first one lowest. Bits of registers'
// numbers are written as their complement.
func (s spelling) start(rm, v, r byte) uint32 {
	not := func(n byte, bit uint) byte { return ^n >> bit & 1 }
	p0 := not(r, 3)<<7 | not(rm, 4)<<6 | not(rm, 3)<<5 | not(r, 4)<<4 | 2
	p1 := ^v&15<<3 | 1<<2 | s.prefix
	p2 := 2<<5 | not(v, 4)<<3
	return 0x62 | uint32(p0)<<8 | uint32(p1)<<16 | uint32(p2)<<24
}

// end is the opcode and the byte of registers.
func (s spelling) end(rm, r byte) uint16 {
	return uint16(s.opcode) | uint16(3<<6|r&7<<3|rm&7)<<8
}
