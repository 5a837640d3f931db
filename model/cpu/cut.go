package cpu

// sizes bounds what work is cut into. Tests cut smaller, so that small shapes have
// many parts; results differ in their last bits between sizes.
type sizes struct {
	ring   int // bytes of packed rows: a part of the second-level cache
	chunk  int // bytes of weights of channels summed in one go, for two blocks of output channels
	sums   int // bytes of private weight gradients
	copies int // private weight gradients for as many values as one has of what it is made of
	items  int // parts of an instruction of enough work
	work   int // least multiply-adds of an item
	voxels int // of an item of a pass; also what is summed in float32 before float64 takes over
	piece  int // parameters of an item of an update

	winograd int // least multiply-adds of a convolution by transforms
	weights  int // bytes of transformed weights held at a time
	cells    int // least of a band of such a convolution, however large its channels are
}

// standard suits caches of 1 MiB a core and items of some 10 us or more.
var standard = sizes{ring: 600 << 10, chunk: 450 << 10, sums: 32 << 20, copies: 1, items: 16, work: 1 << 20, voxels: 1024, piece: 1 << 15, winograd: 1 << 20, weights: 16 << 20, cells: 32}

// cut divides an output into items by batch element, band of rows, range of planes
// and range of groups of channels.
type cut struct {
	batch, h, d, g              int // extents
	bandRows, planes, groupSpan int // of one item
}

type part struct{ n, h0, h1, d0, d1, g0, g1 int }

func (c cut) bands() int  { return ceilDiv(c.h, c.bandRows) }
func (c cut) ranges() int { return ceilDiv(c.d, c.planes) }
func (c cut) spans() int  { return ceilDiv(c.g, c.groupSpan) }
func (c cut) items() int  { return c.batch * c.bands() * c.ranges() * c.spans() }

// part returns item i; bands change fastest, then ranges of planes, groups, batch.
func (c cut) part(i int) part {
	b := i % c.bands()
	i /= c.bands()
	r := i % c.ranges()
	i /= c.ranges()
	g := i % c.spans()
	return part{
		n: i / c.spans(), h0: b * c.bandRows, h1: min(c.h, (b+1)*c.bandRows),
		d0: r * c.planes, d1: min(c.d, (r+1)*c.planes),
		g0: g * c.groupSpan, g1: min(c.g, (g+1)*c.groupSpan),
	}
}

// cutting is what decides a cut.
type cutting struct {
	batch, groups int
	out           [3]int
	taps          [2][][]tap
	slots         int // planes of the ring
	rowBytes      int // of all blocks
	work          int // multiply-adds in all
	sizes         sizes
}

// cut chooses bands whose ring fits the cache, then splits groups, planes and
// rows, in the order of how little is packed twice, until there are enough items.
func (k cutting) cut() cut {
	c := cut{batch: k.batch, h: k.out[1], d: k.out[0], g: k.groups, bandRows: k.out[1], planes: k.out[0], groupSpan: k.groups}
	for bands := 1; c.bandRows > 1 && k.slots*widest(k.taps[1], c.bandRows)*k.rowBytes > k.sizes.ring; bands++ {
		c.bandRows = ceilDiv(c.h, bands)
	}
	want := k.sizes.parts(k.work)
	halo := k.slots > 1
	if !halo {
		c.planes = split(c.d, 1, want, c.items())
	}
	c.groupSpan = split(c.g, 1, want, c.items())
	if halo {
		c.planes = split(c.d, 4, want, c.items())
	}
	c.bandRows = min(c.bandRows, max(split(c.h, 4, want, c.items()/c.bands()), 1))
	return c
}

// parts returns how many items so many multiply-adds are worth.
func (s sizes) parts(work int) int { return min(s.items, max(1, work/s.work)) }

// split returns the length of the parts of n that make want items of what now
// makes have, none shorter than least.
func split(n, least, want, have int) int {
	parts := ceilDiv(want, have)
	return max(ceilDiv(n, parts), min(n, least))
}
