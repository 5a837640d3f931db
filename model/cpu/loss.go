package cpu

import (
	"math"
	"unsafe"

	"noisystudent/model/program"
)

// smooth keeps the Dice of an empty class defined (nnU-Net's value).
const smooth = 1e-5

// diceCE is the loss and its gradient over logits in blocks of classes. Both cut
// the voxels alike; the first leaves in Sums what the second needs.
type diceCE struct {
	l       *loaded
	attr    program.Loss
	logits  *source
	labels  []uint8
	sums    []float32 // (N, C, 3) and the weight sum
	classes int
	size    int // voxels of a part
	parts   int // of one element of the batch

	acc    []float64    // (N, C, 3)
	groups [][3]float64 // overlaps of (1 or N, C-1)

	top, weight, counts []float32
	partial             []float64 // (N, part, block, 4, lane)
	slopes, inside      []float32 // (N, blocks*16)
	dlogits             []float32
}

func (l *loaded) newLoss(logits, labels, sums program.ID, attr program.Loss) *diceCE {
	d := &diceCE{l: l, attr: attr, logits: l.source(program.View{Buf: logits, Norm: program.None})}
	d.labels, d.sums, d.classes = l.labels(labels), l.floats(sums), d.logits.channels
	d.acc, d.groups = make([]float64, len(d.sums)-1), make([][3]float64, d.logits.batch*(d.classes-1))
	if attr.BatchDice {
		d.groups = d.groups[:d.classes-1]
	}
	d.size = l.dev.sizes.voxels
	d.parts = ceilDiv(d.logits.voxels, d.size)
	d.top = aligned(d.logits.blocks * lanes)
	for c := d.classes; c < len(d.top); c++ {
		d.top[c] = float32(math.Inf(-1))
	}
	d.weight, d.counts = aligned(256), aligned(256)
	return d
}

// kernel chooses by the number of classes.
func (d *diceCE) kernel(list [widths]func(*lossArgs), general func(*lossArgs)) func(*lossArgs) {
	if d.logits.blocks > 1 {
		return general
	}
	return list[widthFor(d.classes, func(v width) bool { return list[v] != nil })]
}

// begin refreshes the tables by label value; values that are no class count nowhere.
func (d *diceCE) begin() {
	d.logits.prepare()
	for v := range d.classes {
		d.weight[v], d.counts[v] = 1, 1
		if v == d.attr.Ignore {
			d.weight[v], d.counts[v] = 0, 0
		} else if d.attr.ClassWeights != program.None {
			d.weight[v] = d.l.floats(d.attr.ClassWeights)[v]
		}
	}
}

// args points at part i.
func (d *diceCE) args(w *worker, i int) *lossArgs {
	a := &w.loss
	n, from := i/d.parts, i%d.parts*d.size
	a.n, a.blocks, a.next = min(d.size, d.logits.voxels-from), d.logits.blocks, 4*d.logits.voxels*lanes
	a.logits = ptr(d.logits.data, d.logits.at(n, 0)+from*lanes)
	a.labels = unsafe.Pointer(&d.labels[n*d.logits.voxels+from])
	a.top, a.weight, a.counts = ptr(d.top, 0), ptr(d.weight, 0), ptr(d.counts, 0)
	return a
}

func (d *diceCE) items() int { return d.logits.batch * d.parts }

func (l *loaded) newDiceCE(i program.DiceCE) op {
	d := l.newLoss(i.Logits, i.Labels, i.Sums, i.Loss)
	size := d.logits.blocks * 4 * lanes
	d.partial = make([]float64, d.items()*size)
	l.needScratch = max(l.needScratch, size)
	out, kernel := l.floats(i.Out), d.kernel(l.dev.table.loss, genericLoss)
	return op{"loss", []phase{
		once(d.begin),
		each(d.items(), func(w *worker, i int) {
			a := d.args(w, i)
			clear(w.scratch[:size])
			a.sums = ptr(w.scratch, 0)
			kernel(a)
			for k, v := range w.scratch[:size] {
				d.partial[i*size+k] = float64(v)
			}
		}),
		once(func() { d.finish(out) }),
	}}
}

// finish adds the parts in order and writes Sums, the loss and its two terms.
func (d *diceCE) finish(out []float32) {
	size := d.logits.blocks * 4 * lanes
	acc, entropy, weights := d.acc, 0.0, 0.0
	clear(acc)
	for i := range d.items() {
		for c := range d.classes {
			p := d.partial[i*size+c/lanes*4*lanes+c%lanes:]
			at := (i/d.parts*d.classes + c) * 3
			acc[at] += p[0]
			acc[at+1] += p[lanes]
			acc[at+2] += p[2*lanes]
			weights += p[2*lanes] * float64(d.weight[c])
		}
		for c := range d.logits.blocks * lanes { // kernels may use any lane for logarithms
			entropy += d.partial[i*size+c/lanes*4*lanes+3*lanes+c%lanes]
		}
	}
	for i, v := range acc {
		d.sums[i] = float32(v)
	}
	d.sums[len(acc)] = float32(weights)
	if weights > 0 {
		entropy /= weights
	}
	dice := 0.0
	for _, o := range d.overlaps() {
		dice -= (2*o[0] + smooth) / (o[1] + o[2] + smooth)
	}
	dice /= float64(len(d.groups))
	out[0], out[1], out[2] = float32(entropy+dice), float32(dice), float32(entropy)
}

// overlaps returns intersection, predictions and references of the foreground
// classes from acc: of the whole batch, or of each element of it.
func (d *diceCE) overlaps() [][3]float64 {
	clear(d.groups)
	for b := range d.logits.batch {
		for c := 1; c < d.classes; c++ {
			o := &d.groups[(b*(d.classes-1)+c-1)%len(d.groups)]
			for k := range o {
				o[k] += d.acc[(b*d.classes+c)*3+k]
			}
		}
	}
	return d.groups
}

func (l *loaded) newDiceCEGrad(i program.DiceCEGrad) op {
	d := l.newLoss(i.Logits, i.Labels, i.Sums, i.Loss)
	d.dlogits = l.floats(i.DLogits)
	n := d.logits.batch * d.logits.blocks * lanes
	d.slopes, d.inside = aligned(n), aligned(n)
	seed, kernel := l.floats(i.Seed), d.kernel(l.dev.table.lossGrad, genericLossGrad)
	return op{"loss gradient", []phase{
		once(func() {
			d.begin()
			d.factors(float64(seed[0]) * float64(i.Weight))
		}),
		each(d.items(), func(w *worker, i int) {
			a := d.args(w, i)
			n, from := i/d.parts, i%d.parts*d.size
			a.dlogits = ptr(d.dlogits, d.logits.at(n, 0)+from*lanes)
			a.a, a.b = ptr(d.slopes, n*d.logits.blocks*lanes), ptr(d.inside, n*d.logits.blocks*lanes)
			kernel(a)
		}),
	}}
}

// factors turns Sums into the gradient of the Dice term by each probability and
// scales the weights of cross-entropy, both times factor.
func (d *diceCE) factors(factor float64) {
	for i := range d.acc {
		d.acc[i] = float64(d.sums[i])
	}
	list := d.overlaps()
	for n := range d.logits.batch {
		for c := 1; c < d.classes; c++ {
			o := list[(n*(d.classes-1)+c-1)%len(list)]
			total := o[1] + o[2] + smooth
			at := n*d.logits.blocks*lanes + c
			d.slopes[at] = float32(factor * (2*o[0] + smooth) / (total * total) / float64(len(list)))
			d.inside[at] = float32(-factor * 2 / total / float64(len(list)))
		}
	}
	weights := float64(d.sums[len(d.acc)])
	for v := range d.classes {
		if weights > 0 {
			d.weight[v] = float32(float64(d.weight[v]) * factor / weights)
		} else {
			d.weight[v] = 0
		}
	}
}
