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
