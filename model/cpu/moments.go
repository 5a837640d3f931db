package cpu

import (
	"unsafe"

	"noisystudent/model/program"
)

// Mean and variance: a part of a channel is summed in float32 as deviations from
// its first voxel, parts are joined in float64 in a fixed order (Chan, Golub and
// LeVeque 1983), so that a mean far from zero costs no digits of the variance.

// spread is a count, a mean and a sum of squared deviations.
type spread struct{ n, mean, sq float64 }

// deviations makes a spread of n values from sums of x-shift and its square.
func deviations(n int, shift float32, sum, sq float64) spread {
	k := float64(n)
	return spread{k, float64(shift) + sum/k, max(0, sq-sum*sum/k)}
}

func (s spread) join(t spread) spread {
	if s.n == 0 {
		return t
	}
	n, d := s.n+t.n, t.mean-s.mean
	return spread{n, s.mean + d*t.n/n, s.sq + t.sq + d*d*s.n*t.n/n}
}

// momentsOut gathers moments of what a convolution writes, item by item.
type momentsOut struct {
	id    program.ID
	c     *convOp
	lanes int       // of all groups
	sums  []float64 // (part of the volume, lane, 2)
}

func (m *momentsOut) plan(c *convOp) {
	last := c.groups[len(c.groups)-1]
	m.c, m.lanes = c, last.bias+last.width.blocks()*lanes
	m.sums = make([]float64, c.cut.batch*c.cut.ranges()*c.cut.bands()*m.lanes*2)
}

// at returns where the sums of a part begin.
func (m *momentsOut) at(p part) int {
	k := m.c.cut
	return ((p.n*k.ranges()+p.d0/k.planes)*k.bands() + p.h0/k.bandRows) * m.lanes * 2
}

// first returns the first voxel of a part, from which deviations are taken.
func (m *momentsOut) first(g *group, p part, vector int) []float32 {
	out := m.c.out
	return g.data[g.at+p.n*g.batch+vector*g.next/4+(p.d0*out[1]+p.h0)*out[2]*lanes:]
}

// plane adds plane d of a group once it is complete.
func (m *momentsOut) plane(w *worker, g *group, p part, d int) {
	a := &w.sum
	out := m.c.out
	a.n = (p.h1 - p.h0) * out[2]
	for v := range g.width.blocks() {
		first := m.first(g, p, v)
		a.shift = unsafe.Pointer(&first[0])
		a.src = ptr(first, (d-p.d0)*out[1]*out[2]*lanes)
		m.c.table.sum(a)
		sums := m.sums[m.at(p)+(g.bias+v*lanes)*2:][:2*lanes]
		for l := range lanes {
			if d == p.d0 {
				sums[2*l], sums[2*l+1] = 0, 0
			}
			sums[2*l] += float64(a.sums[l])
			sums[2*l+1] += float64(a.sums[lanes+l])
		}
	}
}

// finish joins the parts and writes (N, C, 2).
func (m *momentsOut) finish() {
	k := m.c.cut
	out := m.c.l.floats(m.id)
	channels := len(out) / (2 * k.batch)
	for n := range k.batch {
		for i := range m.c.groups {
			g := &m.c.groups[i]
			for lane := range min(g.width.blocks()*lanes, channels-g.bias) {
				s := m.join(g, n, lane)
				at := 2 * (n*channels + g.bias + lane)
				out[at], out[at+1] = float32(s.mean), float32(s.sq/s.n)
			}
		}
	}
}

func (m *momentsOut) join(g *group, n, lane int) spread {
	k := m.c.cut
	k.g, k.groupSpan = 1, 1 // parts of the volume only
	var all spread
	parts := k.bands() * k.ranges()
	for i := n * parts; i < (n+1)*parts; i++ {
		p := k.part(i)
		sums := m.sums[m.at(p)+(g.bias+lane)*2:]
		voxels := (p.d1 - p.d0) * (p.h1 - p.h0) * m.c.out[2]
		shift := m.first(g, p, lane/lanes)[lane%lanes]
		all = all.join(deviations(voxels, shift, sums[0], sums[1]))
	}
	return all
}
