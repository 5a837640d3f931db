package statistics

import (
	"math"

	"noisystudent/io/volume"
)

// sum is what the runs of one label add up to.
type sum struct {
	voxels   int64
	hu, hu2  float64 // of values less the first one, which keeps the variance exact
	first    float64
	index    [3]float64 // sum of voxel indices
	lo, hi   [3]int
	occupied bool
}

// run is voxels [from, to) of one label in a row; parent is the run that the union
// has put it under.
type run struct {
	label    uint8
	from, to int32
	parent   int32
}

// pieces is the connected parts of one label.
type pieces struct {
	count         int
	first, second int64 // voxels of the largest two
}

// survey measures the labels of a scan.
func survey(image []float32, labels []uint8, shape [3]int) (sums [256]sum, parts [256]pieces) {
	p := pieceRuns(labels, shape, func(uint8) bool { return true })
	for row := range shape[0] * shape[1] {
		values := image[row*shape[2]:][:shape[2]]
		for _, r := range p.runs[p.rowStart[row]:p.rowStart[row+1]] {
			sums[r.label].add(row/shape[1], row%shape[1], int(r.from), int(r.to), values)
		}
	}
	for i, n := range p.size {
		if n > 0 {
			parts[p.runs[i].label].add(n)
		}
	}
	return sums, parts
}

func (s *sum) add(z, y, from, to int, values []float32) {
	if !s.occupied {
		s.occupied, s.first, s.lo, s.hi = true, float64(values[from]), [3]int{z, y, from}, [3]int{z + 1, y + 1, to}
	}
	n := to - from
	s.voxels += int64(n)
	for _, v := range values[from:to] {
		d := float64(v) - s.first
		s.hu += d
		s.hu2 += d * d
	}
	s.index[0] += float64(z * n)
	s.index[1] += float64(y * n)
	s.index[2] += float64(n) * float64(from+to-1) / 2
	for a, v := range [3][2]int{{z, z + 1}, {y, y + 1}, {from, to}} {
		s.lo[a], s.hi[a] = min(s.lo[a], v[0]), max(s.hi[a], v[1])
	}
}

func (s *sum) fill(o *Organ, g volume.Geometry) {
	n := float64(s.voxels)
	o.Voxels, o.VolumeML = s.voxels, n*g.VoxelML()
	mean := s.hu / n
	o.MeanHU, o.SDHU = s.first+mean, math.Sqrt(max(s.hu2/n-mean*mean, 0))
	o.Box = volume.Box{Lo: s.lo, Hi: s.hi}
	o.CentroidMM = g.World([3]float64{s.index[0] / n, s.index[1] / n, s.index[2] / n})
	o.Touches = touches(g, o.Box)
}

// join unites runs of one label that touch, corners included.
func join(runs []run, rowStart []int32, shape [3]int) {
	for z := range shape[0] {
		for y := range shape[1] {
			row := z*shape[1] + y
			for _, d := range [4][2]int{{0, -1}, {-1, -1}, {-1, 0}, {-1, 1}} {
				if z+d[0] < 0 || y+d[1] < 0 || y+d[1] >= shape[1] {
					continue
				}
				before := row + d[0]*shape[1] + d[1]
				touching(runs, rowStart[row], rowStart[row+1], rowStart[before], rowStart[before+1])
			}
		}
	}
}

// touching unites the runs [i, iEnd) of a row with those [j, jEnd) of another.
func touching(runs []run, i, iEnd, j, jEnd int32) {
	for ; i < iEnd; i++ {
		for j < jEnd && runs[j].to < runs[i].from {
			j++
		}
		for k := j; k < jEnd && runs[k].from <= runs[i].to; k++ {
			if runs[k].label == runs[i].label {
				p, q := root(runs, i), root(runs, k)
				runs[max(p, q)].parent = min(p, q)
			}
		}
	}
}

// root is the run that stands for a piece; paths are halved on the way.
func root(runs []run, i int32) int32 {
	for runs[i].parent != i {
		runs[i].parent = runs[runs[i].parent].parent
		i = runs[i].parent
	}
	return i
}

func (p *pieces) add(voxels int64) {
	p.count++
	p.second = max(p.second, min(p.first, voxels))
	p.first = max(p.first, voxels)
}
