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
	var byClass [256]*draw
	var order []*draw
	for class := 1; class < p.Classes(); class++ {
		if voxels[class] > 0 {
			byClass[class] = newDraw(class, voxels[class])
			order = append(order, byClass[class])
		}
	}
	if p.Ignore > 0 && int64(len(labels)) > voxels[p.Ignore] {
		annotated := newDraw(Annotated, int64(len(labels))-voxels[p.Ignore])
		order = append(order, annotated)
		for i, v := range labels {
			if int(v) != p.Ignore {
				annotated.offer(i)
			}
		}
	}
	offerAll(&byClass, labels)
	var rows [][4]int32
	var positions []Positions
	for _, d := range order {
		positions = append(positions, Positions{d.class, len(rows), len(d.taken)})
		for _, i := range d.taken {
			rows = append(rows, [4]int32{int32(d.class), int32(i / (shape[1] * shape[2])), int32(i / shape[2] % shape[1]), int32(i % shape[2])})
		}
	}
	return rows, positions
}

// offerAll shows every foreground voxel to the draw of its class.
func offerAll(byClass *[256]*draw, labels []uint8) {
	for i := 0; i < len(labels); {
		if i+8 <= len(labels) && binary.LittleEndian.Uint64(labels[i:]) == 0 {
			i += 8
			continue
		}
		if d := byClass[labels[i]]; d != nil {
			d.offer(i)
		}
		i++
	}
}

// draw takes exactly want of total voxels, each set of them as likely as any other
// (Knuth, The Art of Computer Programming 2, algorithm 3.4.2 S).
type draw struct {
	class  int
	stream *random.Stream
	seen   uint64
	total  int64 // voxels still to come
	want   int64 // of those, how many to take
	taken  []int
}

func newDraw(class int, total int64) *draw {
	return &draw{class: class, stream: random.New(0, random.Key("foreground"), uint64(class+1)), total: total, want: min(total, MaxPositions)}
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
