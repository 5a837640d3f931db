package cases

import "noisystudent/io/volume"

// NonZero returns the smallest box that holds every voxel that is not zero; false
// where there is none. Filling the holes of the mask, as nnU-Net does before it
// crops, would not change the box.
func NonZero(v *volume.Volume) (volume.Box, bool) {
	box := volume.Box{Lo: v.Shape}
	row := 0
	for z := range v.Shape[0] {
		for y := range v.Shape[1] {
			first, last := ends(v.Data[row : row+v.Shape[2]])
			row += v.Shape[2]
			if last < first {
				continue
			}
			for a, at := range [3][2]int{{z, z}, {y, y}, {first, last}} {
				box.Lo[a] = min(box.Lo[a], at[0])
				box.Hi[a] = max(box.Hi[a], at[1]+1)
			}
		}
	}
	if box.Hi == [3]int{} {
		return volume.Box{}, false
	}
	return box, true
}

// ends returns the first and the last index that is not zero; last < first where
// all are zero.
func ends(row []float32) (first, last int) {
	last = len(row) - 1
	for first < len(row) && row[first] == 0 {
		first++
	}
	for last > first && row[last] == 0 {
		last--
	}
	return first, last
}
