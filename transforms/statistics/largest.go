package statistics

// KeepLargest sets the voxels of each label in of to 0 that do not belong to its largest
// connected piece; other labels stay as they are. Voxels are connected through faces,
// edges and corners (26 neighbours); of pieces of the same size all stay. labels (z, y, x)
// are changed in place. It returns how many voxels it has set to 0.
//
// Reference: nnU-Net's remove_all_but_largest_component_from_segmentation, label by label.
func KeepLargest(labels []uint8, shape [3]int, of []int) (removed int64) {
	if len(of) == 0 {
		return 0
	}
	var wanted [256]bool
	for _, label := range of {
		wanted[label] = true
	}
	p := pieceRuns(labels, shape, func(label uint8) bool { return wanted[label] })
	var largest [256]int64
	for i, n := range p.size {
		label := p.runs[i].label
		largest[label] = max(largest[label], n)
	}
	for row := range shape[0] * shape[1] {
		for i := p.rowStart[row]; i < p.rowStart[row+1]; i++ {
			r := p.runs[i]
			if p.size[root(p.runs, i)] == largest[r.label] {
				continue
			}
			clear(labels[row*shape[2]+int(r.from) : row*shape[2]+int(r.to)])
			removed += int64(r.to - r.from)
		}
	}
	return removed
}

// joined is the runs of labels in their rows, united to pieces.
type joined struct {
	runs     []run
	rowStart []int32 // of each row, and the end
	size     []int64 // voxels of the piece whose root a run is, else 0
}

// pieceRuns unites the runs of labels that are wanted.
func pieceRuns(labels []uint8, shape [3]int, wanted func(label uint8) bool) joined {
	p := joined{rowStart: make([]int32, shape[0]*shape[1]+1)}
	for row := range shape[0] * shape[1] {
		line := labels[row*shape[2]:][:shape[2]]
		for x := 0; x < len(line); {
			label, from := line[x], x
			for x < len(line) && line[x] == label {
				x++
			}
			if label != 0 && wanted(label) {
				p.runs = append(p.runs, run{label: label, from: int32(from), to: int32(x), parent: int32(len(p.runs))})
			}
		}
		p.rowStart[row+1] = int32(len(p.runs))
	}
	join(p.runs, p.rowStart, shape)
	p.size = make([]int64, len(p.runs))
	for i := range p.runs {
		p.size[root(p.runs, int32(i))] += int64(p.runs[i].to - p.runs[i].from)
	}
	return p
}
