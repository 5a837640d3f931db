package predict

import (
	"math"

	"noisystudent/io/volume"
)

// thumbnail is a box of an image in voxels that are the means of blocks: what is needed
// to find out where a scan holds something.
type thumbnail struct {
	data  []float32
	shape [3]int
	box   volume.Box
	block [3]int // voxels of the image in one of the thumbnail, less at the far faces of the box
}

func newThumbnail(image []float32, shape [3]int, box volume.Box, block [3]int) thumbnail {
	t := thumbnail{shape: reduced(box.Shape(), block), box: box, block: block}
	t.data = make([]float32, voxels(t.shape))
	parallel(t.shape[0]*t.shape[1], func(_, row int) {
		z, y := row/t.shape[1], row%t.shape[1]
		t.mean(t.data[row*t.shape[2]:][:t.shape[2]], image, shape, t.whole(volume.Box{Lo: [3]int{z, y, 0}, Hi: [3]int{z + 1, y + 1, t.shape[2]}}))
	})
	return t
}

// mean fills a row from the part of the image that it stands for.
func (t thumbnail) mean(row, image []float32, shape [3]int, of volume.Box) {
	for z := of.Lo[0]; z < of.Hi[0]; z++ {
		for y := of.Lo[1]; y < of.Hi[1]; y++ {
			line := image[(z*shape[1]+y)*shape[2]:][of.Lo[2]:of.Hi[2]]
			for x := range row {
				for _, v := range line[x*t.block[2] : min((x+1)*t.block[2], len(line))] {
					row[x] += v
				}
			}
		}
	}
	size := of.Shape()
	for x := range row {
		row[x] /= float32(size[0] * size[1] * min(t.block[2], size[2]-x*t.block[2]))
	}
}

// reduced is the shape of an image in blocks.
func reduced(shape, block [3]int) (n [3]int) {
	for a := range 3 {
		n[a] = (shape[a] + block[a] - 1) / block[a]
	}
	return n
}

// blocks gives the blocks whose edges are nearest to a length.
func blocks(spacing [3]float64, mm float64) (n [3]int) {
	for a := range 3 {
		n[a] = max(int(math.Round(mm/spacing[a])), 1)
	}
	return n
}

// whole gives the box of the image that a box of the thumbnail stands for.
func (t thumbnail) whole(b volume.Box) volume.Box {
	for a := range 3 {
		b.Lo[a] = t.box.Lo[a] + b.Lo[a]*t.block[a]
		b.Hi[a] = min(t.box.Lo[a]+b.Hi[a]*t.block[a], t.box.Hi[a])
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
