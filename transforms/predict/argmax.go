package predict

// ArgMax writes the class of the largest score of a plane (C, H, W) to each voxel of
// labels (H, W), the lowest among equals.
func ArgMax(scores []float32, labels []uint8) {
	area := len(labels)
	classes, bands := len(scores)/area, min(area, 4*maxThreads)
	parallel(bands, func(_, i int) {
		from, to := i*area/bands, (i+1)*area/bands
		rows, top := make([][]float32, classes), make([]float32, to-from)
		for c := range rows {
			rows[c] = scores[c*area+from : c*area+to]
		}
		argMax(rows, top, labels[from:to])
	})
}
