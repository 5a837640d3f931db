package score

import (
	"encoding/binary"
	"runtime"
	"sync"

	"noisystudent/io/volume"
)

// grid is a reference and a prediction on one shape, with the ignore label.
type grid struct {
	ref, pred []uint8
	shape     [3]int
	ignore    int // -1: none
}

// counts is how often each pair of classes meets, and where each class lies.
type counts struct {
	joint [256][256]int64 // by reference, then prediction
	ref   [256]volume.Box
	pred  [256]volume.Box
}

// count goes through both volumes once, for all classes, in slabs along z.
func count(g grid) *counts {
	parts := make([]*counts, min(runtime.GOMAXPROCS(0), max(g.shape[0], 1)))
	var wg sync.WaitGroup
	for i := range parts {
		parts[i] = new(counts)
		lo, hi := i*g.shape[0]/len(parts), (i+1)*g.shape[0]/len(parts)
		wg.Go(func() { parts[i].slab(g, lo, hi) })
	}
	wg.Wait()
	for _, p := range parts[1:] {
		parts[0].add(p)
	}
	return parts[0]
}

func (c *counts) slab(g grid, lo, hi int) {
	nx := g.shape[2]
	for z := lo; z < hi; z++ {
		for y := range g.shape[1] {
			i := (z*g.shape[1] + y) * nx
			c.row(g.ref[i:i+nx], g.pred[i:i+nx], z, y)
		}
	}
}

// row counts the runs of voxels with one pair of classes.
func (c *counts) row(ref, pred []uint8, z, y int) {
	const every = 0x0101010101010101
	for x := 0; x < len(ref); {
		r, p, start := ref[x], pred[x], x
		for x+8 <= len(ref) && binary.LittleEndian.Uint64(ref[x:]) == every*uint64(r) &&
			binary.LittleEndian.Uint64(pred[x:]) == every*uint64(p) {
			x += 8
		}
		for x < len(ref) && ref[x] == r && pred[x] == p {
			x++
		}
		run := volume.Box{Lo: [3]int{z, y, start}, Hi: [3]int{z + 1, y + 1, x}}
		c.joint[r][p] += int64(x - start)
		if r != 0 {
			c.ref[r] = union(c.ref[r], run)
		}
		if p != 0 {
			c.pred[p] = union(c.pred[p], run)
		}
	}
}

func (c *counts) add(d *counts) {
	for r := range c.joint {
		for p := range c.joint[r] {
			c.joint[r][p] += d.joint[r][p]
		}
		c.ref[r], c.pred[r] = union(c.ref[r], d.ref[r]), union(c.pred[r], d.pred[r])
	}
}

// Voxels is the agreement of one class: nnU-Net's TP, FP, FN and TN. Voxels that
// carry the ignore label in the reference count nowhere.
type Voxels struct {
	TP int64 `json:"tp"`
	FP int64 `json:"fp"`
	FN int64 `json:"fn"`
	TN int64 `json:"tn"`
}

// Reference returns the voxels of the class in the reference.
func (v Voxels) Reference() int64 { return v.TP + v.FN }

// Predicted returns the voxels of the class in the prediction.
func (v Voxels) Predicted() int64 { return v.TP + v.FP }

// voxels returns the agreement of a class.
func (c *counts) voxels(label uint8, ignore int) Voxels {
	var v Voxels
	for r := range c.joint {
		if r == ignore {
			continue
		}
		for p, n := range c.joint[r] {
			switch inRef, inPred := r == int(label), p == int(label); {
			case inRef && inPred:
				v.TP += n
			case inPred:
				v.FP += n
			case inRef:
				v.FN += n
			default:
				v.TN += n
			}
		}
	}
	return v
}
