package resample

// NonzeroMask returns which voxels are not zero or are holes: zero, but shut off
// from the border by voxels that are not, along faces. nnU-Net marks what lies
// outside with label -1; production needs the box only, this shows the rest to be
// the same.
func NonzeroMask(data []float32, shape [3]int) []bool {
	mustFill(len(data), shape)
	inside := make([]bool, len(data))
	for i := range inside {
		inside[i] = true
	}
	// Flood the outside from every zero voxel of the border.
	var stack []int
	visit := func(z, y, x int) {
		if z < 0 || y < 0 || x < 0 || z == shape[0] || y == shape[1] || x == shape[2] {
			return
		}
		if i := (z*shape[1]+y)*shape[2] + x; inside[i] && data[i] == 0 {
			inside[i] = false
			stack = append(stack, i)
		}
	}
	for i := range data {
		z, y, x := i/(shape[1]*shape[2]), i/shape[2]%shape[1], i%shape[2]
		if z == 0 || y == 0 || x == 0 || z == shape[0]-1 || y == shape[1]-1 || x == shape[2]-1 {
			visit(z, y, x)
		}
	}
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		z, y, x := i/(shape[1]*shape[2]), i/shape[2]%shape[1], i%shape[2]
		visit(z-1, y, x)
		visit(z+1, y, x)
		visit(z, y-1, x)
		visit(z, y+1, x)
		visit(z, y, x-1)
		visit(z, y, x+1)
	}
	return inside
}
