package cuda

import "noisystudent/model/cuda/driver"

// products is a gradient by weight: for rows i, the channels of a, and columns j, those of b,
//
//	dweight[i][j][t] = sum over images and voxels v of a of a[v][i] * b[v*stride - pad + t][j]
//
// where b is 0 outside of its grid; the next row is rowLength columns away. A bias
// gradient is the sum of a, or of b where a transposed convolution has every voxel of b
// below one tap.
type products struct {
	a, b              operand
	taps, stride, pad [3]int
	dweight, dbias    driver.Pointer // dbias may be 0
	rowLength         int
	biasOfB           bool
}

// most bytes of partial sums
const partialBytes = 32 << 20

func (w *lowering) products(p products) {
	rows, columns, taps := p.a.channels, p.b.channels, volume(p.taps)
	kind, bias := int32(0), 0
	switch {
	case p.dbias == 0:
	case p.biasOfB:
		kind, bias = 2, columns
	default:
		kind, bias = 1, rows
	}
	all := rows*taps*columns + bias
	splits := max(1, min(64, p.a.batch*volume(p.a.grid)/8, partialBytes/4/all))
	used := w.used
	partial := w.temp(int64(4 * all * splits))
	w.used = used // the next products run after these
	grid := stridedBlocks(int64(all))
	grid[1] = splits
	w.launch("grad_direct", "", "products", grid, threads256, 0, p.a.at, p.a.norm, p.b.at, p.b.norm, max(p.a.slope, p.b.slope), partial, kind,
		int32(p.a.batch), int32(rows), int32(columns), triple(p.a.grid), triple(p.b.grid), triple(p.taps), triple(p.stride), triple(p.pad))
	w.launch("grad_sum", "", "sum", [3]int{(all + 31) / 32, 1, 1}, [3]int{32, 8, 1}, 0,
		partial, p.dweight, p.dbias, int32(splits), int32(rows), int32(taps), int32(columns), int32(p.rowLength), int32(bias))
}
