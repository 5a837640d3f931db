package predict

import (
	"math"

	"noisystudent/io/volume"
)

// thumbnail is an image whose voxels are the means of blocks of another's: what is
// needed to find out where a scan holds something.
type thumbnail struct {
	data  []float32
	shape [3]int
	block [3]int // voxels of the image in one of the thumbnail, less at the far faces
}

func newThumbnail(image []float32, shape, block [3]int) thumbnail {
	t := thumbnail{shape: reduced(shape, block), block: block}
	t.data = make([]float32, voxels(t.shape))
	parallel(t.shape[0], func(_, z int) {
		to := z * block[0]
		n := min(block[0], shape[0]-to)
		for y := range t.shape[1] {
			t.row(image, shape, to, to+n, z, y)
		}
	})
	return t
}

// reduced is the shape of an image in blocks.
func reduced(shape, block [3]int) (n [3]int) {
	for a := range 3 {
		n[a] = (shape[a] + block[a] - 1) / block[a]
	}
	return n
}

// row fills a row from planes [lo, hi) of the image.
func (t thumbnail) row(image []float32, shape [3]int, lo, hi, z, y int) {
	out := t.data[(z*t.shape[1]+y)*t.shape[2]:][:t.shape[2]]
	first, end := y*t.block[1], min((y+1)*t.block[1], shape[1])
	for p := lo; p < hi; p++ {
		for r := first; r < end; r++ {
			line := image[(p*shape[1]+r)*shape[2]:][:shape[2]]
			for x := range out {
				for _, v := range line[x*t.block[2] : min((x+1)*t.block[2], len(line))] {
					out[x] += v
				}
			}
		}
	}
	for x := range out {
		out[x] /= float32((hi - lo) * (end - first) * min(t.block[2], shape[2]-x*t.block[2]))
	}
}

// blocks gives the blocks whose edges are nearest to a length.
func blocks(spacing [3]float64, mm float64) (n [3]int) {
	for a := range 3 {
		n[a] = max(int(math.Round(mm/spacing[a])), 1)
	}
	return n
}

// whole gives the box of the image that a box of the thumbnail stands for.
func (t thumbnail) whole(b volume.Box, shape [3]int) volume.Box {
	for a := range 3 {
		b.Lo[a] *= t.block[a]
		b.Hi[a] = min(b.Hi[a]*t.block[a], shape[a])
	}
	return b
}

// piece is voxels that are connected by faces.
type piece struct {
	voxels int
	box    volume.Box
}

// pieces finds the connected parts of a mask, which it empties, in the order of their
// first voxels.
func pieces(inside []bool, shape [3]int) (list []piece) {
	var stack []int
	for first := range inside {
		if !inside[first] {
			continue
		}
		p := piece{box: volume.Box{Lo: shape}}
		inside[first], stack = false, append(stack[:0], first)
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			at := [3]int{i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]}
			p.voxels++
			p.box = around(p.box, at)
			for a, stride := range [3]int{shape[1] * shape[2], shape[2], 1} {
				if at[a] > 0 && inside[i-stride] {
					inside[i-stride], stack = false, append(stack, i-stride)
				}
				if at[a]+1 < shape[a] && inside[i+stride] {
					inside[i+stride], stack = false, append(stack, i+stride)
				}
			}
		}
		list = append(list, p)
	}
	return list
}

// around extends a box to a voxel.
func around(b volume.Box, at [3]int) volume.Box {
	for a := range 3 {
		b.Lo[a], b.Hi[a] = min(b.Lo[a], at[a]), max(b.Hi[a], at[a]+1)
	}
	return b
}
