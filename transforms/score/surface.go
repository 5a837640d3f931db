package score

import (
	"math"
	"math/bits"
)

// A surface element sits at the corner of voxels where the eight around it are
// neither all inside nor all outside. Its code has one bit a neighbour; its area
// is that of the marching-cubes triangles inside the neighbourhood.

// surface is the surface elements of a mask, a bit a corner: corner (z, y, x) is
// the low corner of voxel (z, y, x) of the box, which has one more corner than
// voxels along every axis.
type surface struct {
	mask *mask
	bits []uint64
}

func surfaceOf(m *mask) *surface {
	s := &surface{mask: m, bits: make([]uint64, (m.size[0]+1)*(m.size[1]+1)*m.words)}
	for z := range m.size[0] + 1 {
		for y := range m.size[1] + 1 {
			border(s.row(z, y), m.row(z, y), m.row(z, y+1), m.row(z+1, y), m.row(z+1, y+1))
		}
	}
	return s
}

func (s *surface) row(z, y int) []uint64 {
	i := (z*(s.mask.size[1]+1) + y) * s.mask.words
	return s.bits[i : i+s.mask.words]
}

// border sets the corners of a row whose neighbours, bits x and x+1 of four rows
// of voxels, are not all alike.
func border(dst, a, b, c, d []uint64) {
	last := len(dst) - 1
	for i := range dst {
		some, all := a[i]|b[i]|c[i]|d[i], a[i]&b[i]&c[i]&d[i]
		var someNext, allNext uint64
		if i < last {
			someNext, allNext = a[i+1]|b[i+1]|c[i+1]|d[i+1], a[i+1]&b[i+1]&c[i+1]&d[i+1]
		}
		some |= some>>1 | someNext<<63
		all &= all>>1 | allNext<<63
		dst[i] = some &^ all
	}
}

// each calls visit with every surface element and its code.
func (s *surface) each(visit func(z, y, x int, code uint8)) {
	m := s.mask
	for z := range m.size[0] + 1 {
		for y := range m.size[1] + 1 {
			rows := [4][]uint64{m.row(z, y), m.row(z, y+1), m.row(z+1, y), m.row(z+1, y+1)}
			for i, w := range s.row(z, y) {
				for ; w != 0; w &= w - 1 {
					x := i<<6 + bits.TrailingZeros64(w)
					visit(z, y, x, neighbours(rows, x))
				}
			}
		}
	}
}

// neighbours returns the code of a corner: bit 4*dz+2*dy+dx is the voxel at
// (dz, dy, dx) from the low one.
func neighbours(rows [4][]uint64, x int) uint8 {
	var code uint64
	word, shift := x>>6, uint(x)&63
	for k, r := range rows {
		pair := r[word] >> shift
		if shift == 63 && word+1 < len(r) {
			pair |= r[word+1] << 1
		}
		code |= pair & 3 << (2 * k)
	}
	return uint8(code)
}

// triangle is the normal of one marching-cubes triangle in eighths of a voxel,
// signs dropped; its length is the area.
type triangle [3]float64

// baseCases are the neighbourhoods of a corner that differ by more than a
// rotation, a mirroring or the exchange of inside and outside, with their
// triangles. They are those of the lookup table of DeepMind's surface-distance
// 0.1, whose triangulation decides the ambiguous cases; FLARE's SurfaceDice.py
// holds the same table.
var baseCases = map[uint8][]triangle{
	0b00000001: {{1, 1, 1}},
	0b00000011: {{2, 2, 0}, {2, 2, 0}},
	0b00000110: {{1, 1, 1}, {1, 1, 1}},
	0b00000111: {{1, 1, 1}, {2, 2, 2}, {4, 0, 0}},
	0b00001111: {{4, 0, 0}, {4, 0, 0}},
	0b00010110: {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
	0b00010111: {{1, 1, 1}, {1, 1, 1}, {2, 2, 2}, {2, 2, 2}},
	0b00011000: {{1, 1, 1}, {1, 1, 1}},
	0b00011001: {{0, 2, 2}, {0, 2, 2}, {1, 1, 1}},
	0b00011011: {{0, 2, 2}, {1, 1, 1}, {2, 0, 2}, {3, 3, 3}},
	0b00011110: {{1, 1, 1}, {1, 1, 1}, {2, 2, 2}, {4, 0, 0}},
	0b00111100: {{2, 2, 0}, {2, 2, 0}, {2, 2, 0}, {2, 2, 0}},
	0b01101001: {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
}

// areas returns the area in mm2 of every code for a spacing (z, y, x) in mm.
func areas(spacing [3]float64) [256]float64 {
	var table [256]float64
	for base, triangles := range baseCases {
		for _, axes := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			area := 0.0
			for _, t := range triangles {
				area += t.area(axes, spacing)
			}
			for flips := range 8 {
				code := turn(base, axes, flips)
				table[code], table[^code] = area, area
			}
		}
	}
	return table
}

// area of a triangle whose axis a is turned to axes[a].
func (t triangle) area(axes [3]int, spacing [3]float64) float64 {
	var sum float64
	for a, n := range t {
		b, c := (axes[a]+1)%3, (axes[a]+2)%3
		side := n / 8 * spacing[b] * spacing[c]
		sum += side * side
	}
	return math.Sqrt(sum)
}

// turn moves axis a of a neighbourhood to axes[a] and mirrors the axes in flips.
func turn(code uint8, axes [3]int, flips int) uint8 {
	var out uint8
	for corner := range 8 {
		if code>>corner&1 == 0 {
			continue
		}
		to := 0
		for a := range 3 {
			// Bit 2 of a corner's number is its place along axis 0 (z).
			to |= (corner >> (2 - a) & 1) << (2 - axes[a])
		}
		out |= 1 << (to ^ flips)
	}
	return out
}
