package resample

import (
	"context"
	"slices"
)

// blocks takes planes through z by cubic B-spline, a block of planes after the other.
// Rows are those of a line along z in prefilterRows: margin, samples, margin. Block b
// holds the samples [b*size, (b+1)*size), the first and the last block a margin too.
type blocks struct {
	stage         *planeStage
	mapping       Mapping
	taps          cubicTaps
	size          int
	before, after [][]float32 // by block: the recursions' planes that it begins and ends with

	next int         // the block to come
	row  int         // of the first plane that is held
	held [][]float32 // coefficients
	free [][]float32 // planes without a use
}

// newBlocks runs the recursion forwards and then backwards over all blocks.
func newBlocks(ctx context.Context, stage *planeStage, m Mapping, size int) (*blocks, error) {
	count := (m.From[0] + size - 1) / size
	b := &blocks{
		stage: stage, mapping: m, taps: newCubic(m.From[0], m.To[0]), size: size, next: 1,
		before: make([][]float32, count), after: make([][]float32, count),
	}
	for i := range count - 1 {
		planes, err := b.forwards(ctx, i)
		if err != nil {
			return nil, err
		}
		b.before[i+1] = slices.Clone(planes[len(planes)-1])
		b.free = append(b.free, planes...)
	}
	for i := count - 1; i > 0; i-- {
		planes, err := b.coefficients(ctx, i)
		if err != nil {
			return nil, err
		}
		b.after[i-1] = slices.Clone(planes[0])
		b.free = append(b.free, planes...)
	}
	var err error
	b.held, err = b.coefficients(ctx, 0)
	return b, err
}

// planes makes the planes [lo, hi) of the output, clipped.
func (b *blocks) planes(ctx context.Context, lo, hi int, dst []float32, l limits) error {
	ny, width := b.mapping.To[1], b.mapping.To[2]
	for z := lo; z < hi; z++ {
		if err := b.hold(ctx, int(b.taps.first[z])); err != nil {
			return err
		}
		four, out := b.held[int(b.taps.first[z])-b.row:][:4], dst[(z-lo)*ny*width:]
		err := parallel(ctx, workers(ny), ny, func(_, y int) {
			var rows [4][]float32
			for k := range rows {
				rows[k] = four[k][y*width:]
			}
			row := out[y*width : (y+1)*width]
			combineRows(row, rows, &b.taps.weight[z])
			l.clip(row, y)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hold sees to it that four planes from a row on are there, and lets go of those before.
func (b *blocks) hold(ctx context.Context, row int) error {
	for row+4 > b.row+len(b.held) {
		if done := min(row-b.row, len(b.held)); done > 0 {
			b.free = append(b.free, b.held[:done]...)
			b.held, b.row = slices.Clone(b.held[done:]), b.row+done
		}
		planes, err := b.coefficients(ctx, b.next)
		if err != nil {
			return err
		}
		b.held, b.next = append(b.held, planes...), b.next+1
	}
	return nil
}

// samples returns a block's planes, those of a margin still empty: samples are the
// planes [from, to) of them.
func (b *blocks) samples(ctx context.Context, i int) (planes [][]float32, from, to int, err error) {
	first, last := i*b.size, min((i+1)*b.size, b.mapping.From[0])
	to = last - first
	if i == 0 {
		from, to = margin, to+margin
	}
	n := to
	if last == b.mapping.From[0] {
		n += margin
	}
	for range n {
		planes = append(planes, b.plane())
	}
	return planes, from, to, b.stage.each(ctx, upTo(first, last), func(k int) []float32 { return planes[from+k] })
}

// plane returns one to write to.
func (b *blocks) plane() []float32 {
	if n := len(b.free); n > 0 {
		p := b.free[n-1]
		b.free = b.free[:n-1]
		return p
	}
	return make([]float32, b.mapping.To[1]*b.mapping.To[2])
}

// forwards is block i after the recursion forwards, with the end of the line.
func (b *blocks) forwards(ctx context.Context, i int) ([][]float32, error) {
	planes, from, to, err := b.samples(ctx, i)
	if err != nil {
		return nil, err
	}
	return planes, b.rows(ctx, planes, b.before[i], func(row func(int) []float32, before []float32) {
		if from > 0 {
			for x, s := range row(from) {
				row(0)[x] = s * steady
			}
			copy(row(1), row(0))
			before = row(1)
		}
		if to < len(planes) {
			copy(row(to), row(to-1))
		}
		for r := from; r < to; r++ {
			forward(row(r), before)
			before = row(r)
		}
		if to < len(planes) {
			finish(row(to), row(to+1), before)
		}
	})
}

// coefficients is block i after both recursions.
func (b *blocks) coefficients(ctx context.Context, i int) ([][]float32, error) {
	planes, err := b.forwards(ctx, i)
	if err != nil {
		return nil, err
	}
	return planes, b.rows(ctx, planes, b.after[i], func(row func(int) []float32, after []float32) {
		r := len(planes) - 1
		if after == nil { // the end of the line is done
			r -= margin
			after = row(r + 1)
		}
		for ; r >= 0; r-- {
			backward(row(r), after)
			after = row(r)
		}
	})
}

// rows does work for each y: row is a plane's row, neighbour that of the plane beside
// the block, or nil.
func (b *blocks) rows(ctx context.Context, planes [][]float32, beside []float32, work func(row func(r int) []float32, neighbour []float32)) error {
	ny, width := b.mapping.To[1], b.mapping.To[2]
	return parallel(ctx, workers(ny), ny, func(_, y int) {
		var neighbour []float32
		if beside != nil {
			neighbour = beside[y*width:][:width]
		}
		work(func(r int) []float32 { return planes[r][y*width:][:width] }, neighbour)
	})
}
