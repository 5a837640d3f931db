package cpu

import (
	"math"

	"noisystudent/model/program"
)

// piece is a part of a parameter.
type piece struct{ of, from, n int }

// updates are consecutive Update instructions, cut into pieces.
type updates struct {
	l      *loaded
	list   []program.Update
	pieces []piece
}

func (l *loaded) newUpdates(list []program.Update) op {
	u, size := &updates{l: l, list: list}, l.dev.sizes.piece
	for k, i := range list {
		// Whole vectors of 16: what lies behind a short buffer is its own padding.
		n := ceilDiv(len(l.floats(i.Param)), lanes) * lanes
		for from := 0; from < n; from += size {
			u.pieces = append(u.pieces, piece{k, from, min(size, n-from)})
		}
	}
	return op{"update", []phase{each(len(u.pieces), u.item), once(u.touch)}}
}

// touch marks the packed copies of the weights as old.
func (u *updates) touch() {
	for _, i := range u.list {
		u.l.versions[i.Param]++
	}
}

func (u *updates) item(w *worker, k int) {
	p := u.pieces[k]
	i := &u.list[p.of]
	norm, hyper := u.l.floats(i.Norm), u.l.floats(i.Hyper)
	if total := float64(norm[0]); math.IsNaN(total) || math.IsInf(total, 0) {
		return
	}
	a := &w.update
	at := func(id program.ID) []float32 { b := u.l.floats(id); return b[:cap(b)][p.from:] }
	a.w, a.grad, a.s1, a.n = ptr(at(i.Param), 0), ptr(at(i.Grad), 0), ptr(at(i.State[0]), 0), p.n
	a.k[0] = norm[1]
	if i.Rule == program.SGD {
		copy(a.k[1:], hyper[:3])
		u.l.dev.table.sgd(a)
		return
	}
	a.s2 = ptr(at(i.State[1]), 0)
	adamConstants(a, hyper)
	u.l.dev.table.adamw(a)
}

// adamConstants turns lr, beta1, beta2, eps, weight decay, 1-beta1^t, 1-beta2^t
// into the constants of the kernel.
func adamConstants(a *updateArgs, hyper []float32) {
	lr, decay, correct1, correct2 := float64(hyper[0]), float64(hyper[4]), float64(hyper[5]), float64(hyper[6])
	a.k[1] = float32(1 - lr*decay)
	a.k[2], a.k[3] = float32(1-float64(hyper[1])), hyper[2]
	a.k[4] = float32(lr / correct1)
	a.k[5] = float32(1 / math.Sqrt(correct2))
	a.k[6], a.k[7] = hyper[3], float32(1-float64(hyper[2]))
}

// newGradNorm plans the norm of all gradients and the factor that unscales and
// clips them.
func (l *loaded) newGradNorm(i program.GradNorm) op {
	var pieces []piece
	size := l.dev.sizes.piece
	for k, id := range i.Grads {
		n := len(l.floats(id))
		for from := 0; from < n; from += size {
			pieces = append(pieces, piece{k, from, min(size, n-from)})
		}
	}
	sums := make([]float64, len(pieces))
	out, seed := l.floats(i.Out), l.floats(i.Seed)
	square := func(w *worker, k int) {
		p := pieces[k]
		sums[k] = w.squares(l.dev.table, l.floats(i.Grads[p.of])[p.from:][:p.n])
	}
	finish := func() {
		sum := 0.0
		for _, s := range sums {
			sum += s
		}
		total, factor := math.Sqrt(sum)/float64(seed[0]), 1.0
		if i.MaxNorm > 0 {
			factor = min(1, float64(i.MaxNorm)/(total+1e-6))
		}
		out[0], out[1] = float32(total), float32(factor/float64(seed[0]))
	}
	return op{"gradient norm", []phase{each(len(pieces), square), once(finish)}}
}

// squares adds up squares in float64; what is no whole vector is left to plain Go.
func (w *worker) squares(t *table, x []float32) float64 {
	a, whole := &w.square, len(x)&^(lanes-1)
	a.sum = 0
	if whole > 0 {
		a.x, a.n = ptr(x, 0), whole
		t.squares(a)
	}
	for _, v := range x[whole:] {
		a.sum += float64(v) * float64(v)
	}
	return a.sum
}
