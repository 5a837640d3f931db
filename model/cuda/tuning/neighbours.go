package tuning

import "cmp"

// Before orders rules so that none hides what a later one is for: by kernel, stride and
// channels, the narrow ones last.
func (r Rule) Before(other Rule) int {
	volume := func(t [3]int) int { return t[0] * t[1] * t[2] }
	return cmp.Or(cmp.Compare(volume(r.Kernel), volume(other.Kernel)), cmp.Compare(volume(r.Stride), volume(other.Stride)),
		cmp.Compare(r.Channels, other.Channels), cmp.Compare(other.Width, r.Width))
}

// Neighbours lists the tiles that cards can take for a rule's convolutions and that
// differ from its own in one number, which is twice or half as large.
func (r Rule) Neighbours() (list []Tile) {
	for number := range 7 {
		for _, twice := range []bool{true, false} {
			t := r.Tile
			n := []*int{&t.Width, &t.Rows, &t.Tiles, &t.Blocks, &t.Warps[0], &t.Warps[1], &t.Warps[2]}[number]
			if twice {
				*n *= 2
			} else {
				*n /= 2
			}
			if r.takes(t) {
				list = append(list, t)
			}
		}
	}
	return list
}

// takes reports whether kernels and cards can do with a tile. It reckons registers with
// some to spare: those of the sums, of the weights of a column of taps, and 48.
func (r Rule) takes(t Tile) bool {
	least := min(t.Rows, t.Blocks, t.Warps[0], t.Warps[1], t.Warps[2])
	registers := 4*t.Rows*t.Tiles + 2*r.Kernel[1]*t.Tiles + 48
	return least >= 1 && t.Width >= 4 && t.Width <= 16 && t.Tiles >= 2 && t.Tiles <= 8 &&
		t.Threads() >= 64 && t.Threads() <= 512 && registers <= 255 && registers*t.Threads()*t.Blocks <= 65536 &&
		(t.Tiles == 2 || t.Columns()/2 < max(r.Channels, 1)) && t.Shared(r.Kernel, r.Stride, 2*StageBytes) <= MostShared
}

// Before orders rules as Rule's does.
func (r ProductRule) Before(other ProductRule) int {
	as := func(r ProductRule) Rule { return Rule{Kernel: r.Kernel, Stride: r.Stride, Channels: r.Channels} }
	return as(r).Before(as(other))
}

// Neighbours lists the products that cards can take for a rule's weight gradients and
// that differ from its own in one number: twice or half as large, blocks by one.
func (r ProductRule) Neighbours() (list []Product) {
	add := func(change func(p *Product)) {
		p := r.Product
		if change(&p); r.takes(p) {
			list = append(list, p)
		}
	}
	for number := range 4 {
		of := func(p *Product) *int { return []*int{&p.Rows, &p.Warps[0], &p.Warps[1], &p.Warps[2]}[number] }
		add(func(p *Product) { *of(p) *= 2 })
		add(func(p *Product) { *of(p) /= 2 })
	}
	add(func(p *Product) { p.Blocks++ })
	add(func(p *Product) { p.Blocks-- })
	return list
}

// takes reports whether kernels and cards can do with a product, however wide the strided
// operand and the image. It reckons registers with some to spare: those of the sums of a
// plane of taps, and 56.
func (r ProductRule) takes(p Product) bool {
	if min(p.Rows, p.Blocks, p.Warps[0], p.Warps[1], p.Warps[2]) < 1 || p.Rows > 16 {
		return false
	}
	threads, registers := p.Threads(r.Kernel), 8*r.Kernel[1]*r.Kernel[2]+56
	if threads < 64 || threads > 512 || registers*threads*p.Blocks > 65536 {
		return false
	}
	for _, channels := range []int{16, 64, 512} {
		for _, width := range []int{8, 16} {
			if (ProductRule{Product: p}).product(channels, width).Shared(r.Kernel, r.Stride) > MostShared {
				return false
			}
		}
	}
	return true
}
