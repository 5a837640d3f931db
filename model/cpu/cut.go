package cpu

// ringBytes is what packed rows of one work item may take: they are to stay in a
// second-level cache of 1 MiB beside the weights.
const ringBytes = 600 << 10

// wanted is how many items an instruction of enough work is cut into.
const wanted = 16

// itemWork is the least multiply-adds of an item: about 10 us of vector work.
const itemWork = 1 << 20

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
}

// cut chooses bands whose ring fits the cache, then splits groups, planes and
// rows, in the order of how little is packed twice, until there are enough items.
func (k cutting) cut() cut {
	c := cut{batch: k.batch, h: k.out[1], d: k.out[0], g: k.groups, bandRows: k.out[1], planes: k.out[0], groupSpan: k.groups}
	for bands := 1; c.bandRows > 1 && k.slots*widest(k.taps[1], c.bandRows)*k.rowBytes > ringBytes; bands++ {
		c.bandRows = ceilDiv(c.h, bands)
	}
	want := min(wanted, max(1, k.work/itemWork))
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

// split returns the length of the parts of n that make want items of what now
// makes have, none shorter than least.
func split(n, least, want, have int) int {
	parts := ceilDiv(want, have)
	return max(ceilDiv(n, parts), min(n, least))
}
