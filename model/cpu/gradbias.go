package cpu

import "noisystudent/model/program"

// biasSums is the gradient by bias, the sum of an activation over all but its
// channels, taken while a weight gradient has the rows at hand. Up to sizes.voxels
// voxels are summed in float32, those sums in float64, by part.
type biasSums struct {
	table *table
	src   *source
	grid  [3]int
	size  int
	zero  []float32
	sums  []float64 // (part, block, lane)
	out   []float32
}

// newBiasSums plans sums of an activation that a gradOp reads, nil where to is None.
func (l *loaded) newBiasSums(of *source, grid [3]int, to program.ID) *biasSums {
	if to == program.None {
		return nil
	}
	return &biasSums{
		table: l.dev.table, src: of, grid: grid, size: l.dev.sizes.voxels,
		zero: aligned(lanes), out: l.floats(to),
	}
}

func (s *biasSums) plan(parts int) { s.sums = make([]float64, parts*s.src.blocks*lanes) }

// of returns the sums of a block in a part.
func (s *biasSums) of(part, block int) []float64 {
	return s.sums[(part*s.src.blocks+block)*lanes:][:lanes]
}

// add sums rows [h, h+count) of plane d of a block of batch element n.
func (s *biasSums) add(w *worker, sums []float64, n, block, d, h, count int) {
	a := &w.sum
	a.shift = ptr(s.zero, 0)
	at := s.src.at(n, block) + (d*s.grid[1]+h)*s.grid[2]*lanes
	for left := count * s.grid[2]; left > 0; left -= a.n {
		a.src, a.n = ptr(s.src.data, at), min(left, s.size)
		s.table.sum(a)
		for l := range sums {
			sums[l] += float64(a.sums[l])
		}
		at += a.n * lanes
	}
}

// finish adds the parts.
func (s *biasSums) finish() {
	parts := len(s.sums) / (s.src.blocks * lanes)
	for c := range s.out {
		sum := 0.0
		for p := range parts {
			sum += s.of(p, c/lanes)[c%lanes]
		}
		s.out[c] = float32(sum)
	}
}
