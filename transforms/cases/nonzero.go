package cases

import "noisystudent/io/volume"

// NonZero returns the smallest box that holds every voxel that is not zero; false
// where there is none. Filling the holes of the mask, as nnU-Net does before it
// crops, would not change the box.
func NonZero(v *volume.Volume) (volume.Box, bool) {
	return nonZero(v.Shape, func(at int) []float32 { return v.Data[at : at+v.Shape[2]] })
}

// NonZeroCompact is NonZero of voxels that are kept as they are stored.
func NonZeroCompact(v *volume.Compact) (volume.Box, bool) {
	row := make([]float32, v.Shape[2])
	return nonZero(v.Shape, func(at int) []float32 {
		v.Read(row, at)
		return row
	})
}

// nonZero asks for the row that begins at an index.
func nonZero(shape [3]int, row func(at int) []float32) (volume.Box, bool) {
	box := volume.Box{Lo: shape}
	for z := range shape[0] {
		for y := range shape[1] {
			first, last := ends(row((z*shape[1] + y) * shape[2]))
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
