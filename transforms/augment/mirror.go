package augment

import "slices"

// mirror flips the patch along axes z, y, x and exchanges pairs of labels.
func mirror(p Patch, flip [3]bool, swap [][2]uint8) {
	flipAxes(p.Image, p.Shape, flip)
	flipAxes(p.Labels, p.Shape, flip)
	if len(swap) == 0 {
		return
	}
	var to [256]uint8
	for i := range to {
		to[i] = uint8(i)
	}
	for _, pair := range swap {
		to[pair[0]], to[pair[1]] = pair[1], pair[0]
	}
	for i, v := range p.Labels {
		p.Labels[i] = to[v]
	}
}

func flipAxes[T float32 | uint8](v []T, shape [3]int, flip [3]bool) {
	plane, n := shape[1]*shape[2], shape[2]
	if flip[0] {
		flipBlocks(v, plane)
	}
	if flip[1] {
		for p := range slices.Chunk(v, plane) {
			flipBlocks(p, n)
		}
	}
	if flip[2] {
		for row := range slices.Chunk(v, n) {
			slices.Reverse(row)
		}
	}
}

// flipBlocks reverses the order of blocks of n values.
func flipBlocks[T any](v []T, n int) {
	for i, j := 0, len(v)-n; i < j; i, j = i+n, j-n {
		a, b := v[i:i+n], v[j:j+n]
		for k := range a {
			a[k], b[k] = b[k], a[k]
		}
	}
}
