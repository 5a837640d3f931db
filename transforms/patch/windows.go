package patch

import "math"

// Windows returns the lowest corner of every tile of sliding-window inference over
// an image that is at least a tile in every axis, in (z, y, x) order. step is the
// distance of two tiles as a part of a tile, in (0, 1]; the tiles are spread evenly
// between the image's faces (nnU-Net's compute_steps_for_sliding_window).
func Windows(shape, tile [3]int, step float64) [][3]int {
	var at [3][]int
	for a := range 3 {
		at[a] = steps(shape[a], tile[a], step)
	}
	corners := make([][3]int, 0, len(at[0])*len(at[1])*len(at[2]))
	for _, z := range at[0] {
		for _, y := range at[1] {
			for _, x := range at[2] {
				corners = append(corners, [3]int{z, y, x})
			}
		}
	}
	return corners
}

// Count is how many Windows there are: a header that is nonsense may ask for billions.
func Count(shape, tile [3]int, step float64) int {
	n := 1
	for a := range 3 {
		n *= len(steps(shape[a], tile[a], step))
	}
	return n
}

// steps returns the starts along one axis, rounded half to even as numpy does.
func steps(n, tile int, step float64) []int {
	room := n - tile
	if room <= 0 {
		return []int{0}
	}
	count := int(math.Ceil(float64(room)/(float64(tile)*step))) + 1
	starts := make([]int, count)
	for i := range starts {
		starts[i] = int(math.RoundToEven(float64(room) / float64(count-1) * float64(i)))
	}
	return starts
}

// Pad returns the size of an image padded to at least a tile, and how many voxels
// come before the image: it stays in the middle, the odd voxel goes to the high
// side (acvl-utils' pad_nd_image).
func Pad(shape, least [3]int) (size, before [3]int) {
	for a := range 3 {
		size[a] = max(shape[a], least[a])
		before[a] = (size[a] - shape[a]) / 2
	}
	return size, before
}
