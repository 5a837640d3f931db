package cuda

import (
	"fmt"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/tuning"
)

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

// partialSums are a product's of parts of the voxels, as its kernels leave them: splits
// times (rows, taps, pitch >= columns) and biasParts sums for the bias, size in all.
type partialSums struct {
	at                               driver.Pointer
	splits, size                     int
	rows, taps, columns, pitch       int
	rowLength, bias, kind, biasParts int
}

// most bytes of partial sums
const partialBytes = 32 << 20

func (w *lowering) products(p products) {
	s := partialSums{rows: p.a.channels, taps: volume(p.taps), columns: p.b.channels, rowLength: p.rowLength, biasParts: 1}
	switch {
	case p.dbias == 0:
	case p.biasOfB:
		s.kind, s.bias = 2, s.columns
	default:
		s.kind, s.bias = 1, s.rows
	}
	used := w.used
	if !w.productsOnTensorCores(p, &s) {
		w.productsDirect(p, &s)
	}
	w.used = used // the next products run after these
	lanes, tapsOfBlock := 1, min(s.taps, 32)
	if s.splits > 8 {
		lanes, tapsOfBlock = 8, 1
	}
	w.launch("grad_sum", "", "sum", [3]int{ceilDiv(max(s.columns, s.bias), 32), ceilDiv(s.taps, tapsOfBlock), s.rows + min(s.bias, 1)}, [3]int{32, 8, 1}, 0,
		s.at, p.dweight, p.dbias, int32(s.splits), int64(s.size), int32(s.rows), int32(s.taps), int32(s.columns), int32(s.pitch), int32(s.rowLength),
		int32(s.bias), int32(s.biasParts), int32(lanes), int32(tapsOfBlock))
}

// allot takes memory for as many splits as fit, at most most and each of them parts.
func (w *lowering) allot(s *partialSums, most, parts int) (splits int) {
	splits = max(1, min(most, partialBytes/(4*s.size*parts)))
	s.splits = splits * parts
	s.at = w.temp(int64(4 * s.size * s.splits))
	return splits
}

func (w *lowering) productsDirect(p products, s *partialSums) {
	s.pitch = s.columns
	s.size = s.rows*s.taps*s.pitch + s.bias
	grid := stridedBlocks(int64(s.size))
	grid[1] = w.allot(s, min(64, p.a.batch*volume(p.a.grid)/8), 1)
	w.launch("grad_direct", "", "products", grid, threads256, 0, p.a.at, p.a.norm, p.b.at, p.b.norm, max(p.a.slope, p.b.slope), s.at, int32(s.size), int32(s.kind),
		int32(p.a.batch), int32(s.rows), int32(s.columns), triple(p.a.grid), triple(p.b.grid), triple(p.taps), triple(p.stride), triple(p.pad))
}

// productsOnTensorCores reports whether there is a kernel for a product on tensor cores.
func (w *lowering) productsOnTensorCores(p products, s *partialSums) bool {
	first := p.b.channels == 1
	if w.l.store.bytes != 2 || p.a.channels == 1 || first && p.biasOfB {
		return false
	}
	taps, stride := p.taps, p.stride // as the product has them
	if first {                       // whose taps are columns
		taps, stride = one, one
	}
	columns := s.columns
	if first {
		columns = s.taps
	}
	channels := [2]int{s.rows, columns}
	t, ok := tuning.WeightGrad(taps, stride, channels, p.a.grid)
	if !ok {
		return false
	}
	if w.measuring {
		r, _ := tuning.WeightGradRule(taps, stride, channels, p.a.grid)
		w.askedProducts = append(w.askedProducts, asked[tuning.ProductRule]{tuning.ProductRule{Kernel: taps, Stride: stride, Channels: s.rows, Product: r.Product}, []int{len(w.until)}})
	}
	if first {
		s.taps, s.columns, s.rowLength = 1, s.taps, s.taps*s.rowLength
	}
	s.pitch = ceilDiv(s.columns, 8) * 8
	s.size = s.rows*s.taps*s.pitch + ceilDiv(s.bias, 8)*8
	if s.kind == 2 {
		s.biasParts = taps[0]
		s.size = s.pitch * (s.rows*s.taps + s.biasParts)
	}
	rowBlocks, columnBlocks := ceilDiv(s.rows, 16*t.Warps[0]), ceilDiv(s.columns, 16*t.Warps[1])
	blocks := rowBlocks * columnBlocks
	splits := w.allot(s, min(tuning.Blocks*t.Blocks/2/blocks, p.a.batch*p.a.grid[0]*t.Tiles(p.a.grid)/tuning.SplitPlanes), t.Warps[2])
	w.launch("grad_mma", fmt.Sprintf("%s BIAS=%d FIRST=%d", t.Defines(taps, stride), 1+truth(p.biasOfB), truth(first)), "products",
		[3]int{blocks, splits, 1}, [3]int{t.Threads(taps), 1, 1}, t.Shared(taps, stride),
		p.a.at, p.a.norm, p.a.slope, int32(s.rows), p.b.at, p.b.norm, p.b.slope, int32(s.columns), s.at, int64(s.size), int32(rowBlocks), int32(p.a.batch),
		triple(p.a.grid), triple(p.b.grid), triple(p.taps), triple(p.stride), triple(p.pad))
	return true
}
