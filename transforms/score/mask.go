package score

import (
	"encoding/binary"
	"math/bits"

	"noisystudent/io/volume"
)

// union returns the smallest box around both; an empty box adds nothing.
func union(b, c volume.Box) volume.Box {
	if b.Voxels() == 0 {
		return c
	}
	if c.Voxels() == 0 {
		return b
	}
	for a := range 3 {
		b.Lo[a], b.Hi[a] = min(b.Lo[a], c.Lo[a]), max(b.Hi[a], c.Hi[a])
	}
	return b
}

// mask is one class inside a box, a bit a voxel, with an empty voxel around the
// box on every side: voxel (z, y, x) is bit x+1 of row (z+1, y+1). The padding
// lets every corner of a voxel look at its eight neighbours without a test.
type mask struct {
	size  [3]int // of the box, without the padding
	words int    // of a row
	bits  []uint64
}

func newMask(size [3]int) *mask {
	words := (size[2] + 2 + 63) / 64
	return &mask{size: size, words: words, bits: make([]uint64, (size[0]+2)*(size[1]+2)*words)}
}

// row returns the bits of a padded row.
func (m *mask) row(z, y int) []uint64 {
	i := (z*(m.size[1]+2) + y) * m.words
	return m.bits[i : i+m.words]
}

// volume returns the number of voxels.
func (m *mask) volume() int64 {
	var n int
	for _, w := range m.bits {
		n += bits.OnesCount64(w)
	}
	return int64(n)
}

// both returns the number of voxels in m and o, which have one box.
func (m *mask) both(o *mask) int64 {
	var n int
	for i, w := range m.bits {
		n += bits.OnesCount64(w & o.bits[i])
	}
	return int64(n)
}

// maskOf takes the voxels of one class out of the labels of a grid, leaving out
// those where the reference is the ignore label (-1: none).
func maskOf(g grid, data []uint8, label uint8, b volume.Box) *mask {
	m := newMask(b.Shape())
	for z := b.Lo[0]; z < b.Hi[0]; z++ {
		for y := b.Lo[1]; y < b.Hi[1]; y++ {
			i := (z*g.shape[1] + y) * g.shape[2]
			dst := m.row(z-b.Lo[0]+1, y-b.Lo[1]+1)
			setEqual(dst, data[i+b.Lo[2]:i+b.Hi[2]], label, false)
			if g.ignore >= 0 {
				setEqual(dst, g.ref[i+b.Lo[2]:i+b.Hi[2]], uint8(g.ignore), true)
			}
		}
	}
	return m
}

// setEqual sets (or clears) bit x+1 where row[x] is label, eight voxels a time.
func setEqual(dst []uint64, row []uint8, label uint8, remove bool) {
	put := func(x int, eq uint64) {
		if eq == 0 {
			return
		}
		word, shift := (x+1)>>6, uint(x+1)&63
		low, high := eq<<shift, eq>>(64-shift) // a shift of 64 gives 0
		if remove {
			dst[word] &^= low
		} else {
			dst[word] |= low
		}
		if high == 0 {
			return
		}
		if remove {
			dst[word+1] &^= high
		} else {
			dst[word+1] |= high
		}
	}
	x, want := 0, uint64(label)*0x0101010101010101
	for ; x+8 <= len(row); x += 8 {
		put(x, zeroBytes(binary.LittleEndian.Uint64(row[x:])^want))
	}
	for ; x < len(row); x++ {
		if row[x] == label {
			put(x, 1)
		}
	}
}

// zeroBytes returns eight bits: bit i is set where byte i of v is 0.
func zeroBytes(v uint64) uint64 {
	const low7 = 0x7f7f7f7f7f7f7f7f
	flags := ^((v&low7 + low7) | v | low7) >> 7 // 1 in each zero byte
	// The product gathers the eight flags in the top byte: flag i lands in bit 56+i.
	return flags * 0x0102040810204080 >> 56
}
