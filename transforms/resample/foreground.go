package resample

import (
	"encoding/binary"

	"noisystudent/model/random"
	"noisystudent/transforms/plan"
)

// MaxPositions is how many voxels of a class are kept for patches to be centred on.
const MaxPositions = 10_000

// Annotated stands for "any voxel that is not ignored" where a class is asked for.
// Its positions are kept where the plan has an ignore label.
const Annotated = -1

// Positions is the rows [First, First+Count) of the foreground array: voxels of a
// class, uniformly drawn without replacement, in scan order.
type Positions struct {
	Class int `json:"class"`
	First int `json:"first"`
	Count int `json:"count"`
}

// countClasses counts voxels by value: those of the plan, and its ignore label.
func countClasses(labels []uint8, p plan.Plan) []int64 {
	var n [256]int64
	for i := 0; i < len(labels); {
		end := i + 1
		for end+8 <= len(labels) && binary.LittleEndian.Uint64(labels[end:]) == uint64(labels[i])*0x0101010101010101 {
			end += 8
		}
		n[labels[i]] += int64(end - i)
		i = end
	}
	return append([]int64(nil), n[:max(p.Classes(), p.Ignore+1)]...)
}

// drawForeground keeps up to MaxPositions voxels of each class. Which ones depends
// on the labels and the class alone, so that it needs no seed in the case's digest.
func drawForeground(labels []uint8, shape [3]int, voxels []int64, p plan.Plan) ([][4]int32, []Positions) {
	draws := make([]*draw, 256)
	var order []int
	add := func(class int, n int64) *draw {
		order = append(order, class)
		return &draw{random.New(0, random.Key("foreground"), uint64(class+1)), uint64(n), min(n, MaxPositions), 0, nil}
	}
	for class := 1; class < p.Classes(); class++ {
		if class != p.Ignore && voxels[class] > 0 {
			draws[class] = add(class, voxels[class])
		}
	}
	var annotated *draw
	if p.Ignore > 0 {
		if n := int64(len(labels)) - voxels[p.Ignore]; n > 0 {
			annotated = add(Annotated, n)
		}
	}
	for i := 0; i < len(labels); i++ {
		v := labels[i]
		if annotated != nil && int(v) != p.Ignore {
			annotated.offer(i)
		}
		if v != 0 {
			if d := draws[v]; d != nil {
				d.offer(i)
			}
			continue
		}
		for annotated == nil && i+9 <= len(labels) && binary.LittleEndian.Uint64(labels[i+1:]) == 0 {
			i += 8
		}
	}
	var rows [][4]int32
	var positions []Positions
	for _, class := range order {
		d := annotated
		if class != Annotated {
			d = draws[class]
		}
		positions = append(positions, Positions{class, len(rows), len(d.taken)})
		for _, i := range d.taken {
			rows = append(rows, [4]int32{int32(class), int32(i / (shape[1] * shape[2])), int32(i / shape[2] % shape[1]), int32(i % shape[2])})
		}
	}
	return rows, positions
}

// draw takes exactly want of total voxels, each set of them as likely as any other
// (Knuth, The Art of Computer Programming 2, algorithm 3.4.2 S).
type draw struct {
	stream *random.Stream
	total  uint64 // voxels still to come
	want   int64  // of those, how many to take
	seen   uint64
	taken  []int
}

func (d *draw) offer(voxel int) {
	// The chance is want/total; the product compares it without a division.
	u := float64(d.stream.At(d.seen)>>11) / (1 << 53)
	if u*float64(d.total) < float64(d.want) {
		d.taken = append(d.taken, voxel)
		d.want--
	}
	d.total--
	d.seen++
}
