package predict

import (
	"context"
	"errors"
	"fmt"

	"noisystudent/io/volume"
	"noisystudent/model/engine"
	"noisystudent/transforms/metrics"
	"noisystudent/transforms/patch"
)

// Model is a network's weights; the digest names them. File is their address, for
// messages.
type Model struct {
	Digest  string
	File    string
	Weights map[string]engine.Tensor
}

// Network computes one tile (D, H, W) by the model that it was last told to use, and
// then gives its logits by planes (C, H, W).
type Network interface {
	Use(m Model) error
	Forward(ctx context.Context, tile []float32) error
	Plane(z int, logits []float32) error
}

// Settings say how tiles become labels.
type Settings struct {
	Classes int
	Patch   [3]int
	Step    float64 // of a tile, in (0, 1]
	Mirror  [3]bool // axes (z, y, x) that are also predicted flipped, mean of logits
	// Temperature divides logits; 0: nothing does. The host blends then.
	Temperature float32
	Softmax     bool // blend probabilities instead of logits (nnU-Net v1's order)
	Scores      bool // of all classes are wanted, not only labels
	Votes       bool // each model's own labels are wanted too; the host blends then
	// Box is the part that Segment computes, background around it; zero: all.
	Box volume.Box
}

// Finished is rows (n, W) of a plane of a case. Its slices belong to the caller again after
// the call.
type Finished struct {
	// Labels are the class of the largest score at each voxel, the lowest among equals.
	Labels []uint8
	// Scores (C, n, W) are logits where there is one model and logits were blended, else
	// mean probabilities. They may be nil where Settings.Scores is false.
	Scores []float32
	// Votes are each model's own labels, where Settings.Votes asks for them.
	Votes [][]uint8
	// Probability is that of the label; nil where it is to be taken from Scores.
	Probability []float32
}

// newFinished makes room for voxels of all that the settings want.
func newFinished(s Settings, models, voxels int) Finished {
	f := Finished{Labels: make([]uint8, voxels), Scores: make([]float32, s.Classes*voxels)}
	if s.Votes {
		for range models {
			f.Votes = append(f.Votes, make([]uint8, voxels))
		}
	}
	return f
}

// first is the room of f for so many voxels.
func (f Finished) first(voxels, classes int) Finished {
	for m := range f.Votes {
		f.Votes[m] = f.Votes[m][:voxels]
	}
	f.Labels, f.Scores = f.Labels[:voxels], f.Scores[:classes*voxels]
	return f
}

// Rows receives the finished rows from y on of plane z, each row of a case once: planes
// ascend where they begin at the same y, and rows of a plane ascend.
type Rows func(z, y int, f Finished) error

// Source gives planes [lo, hi) of a prepared image (hi-lo, H, W) when tiles need them:
// each plane once, ascending.
type Source interface {
	Planes(ctx context.Context, lo, hi int, dst []float32) error
}

// Segment is SegmentPlanes of an image (z, y, x) that is there as a whole, or of the box of it.
func Segment(ctx context.Context, image []float32, shape [3]int, network Network, models []Model, s Settings, out Rows) error {
	if s.Box != (volume.Box{}) && s.Box != volume.Whole(shape) {
		return segmentBox(ctx, image, shape, network, models, s, out)
	}
	return SegmentPlanes(ctx, part{image, shape, volume.Whole(shape)}, shape, network, models, s, out)
}

// SegmentPlanes runs the models over the tiles of an image and hands finished
// rows to out. Each model's logits are blended with a Gaussian, then come
// softmax and the mean over the models. Tiles are accumulated in the order of
// their position, and only as many planes as a tile is deep are ever held, and of those
// that no row of tiles below will touch only what tiles of this one may still add to.
func SegmentPlanes(ctx context.Context, image Source, shape [3]int, network Network, models []Model, s Settings, out Rows) (err error) {
	if len(models) == 0 {
		return fmt.Errorf("predict: segment: no model")
	}
	if !(s.Step > 0 && s.Step <= 1) {
		return fmt.Errorf("predict: segment: step %v of a tile, need more than 0 and at most 1", s.Step)
	}
	size, before := patch.Pad(shape, s.Patch)
	g := &segmenter{
		Settings: s, network: network, models: models, size: size, flips: flips(s.Mirror),
		image: newSlab(image, shape, size, before, s.Patch[0]),
		tile:  make([]float32, voxels(s.Patch)), device: onDevice(ctx, network, len(models), s, size),
	}
	if len(g.flips) > 1 {
		g.flipped = make([]float32, len(g.tile))
	}
	if g.device != nil {
		defer func() { err = errors.Join(err, g.device.Close()) }()
		return g.run(ctx, shape, before, out)
	}
	g.plane, g.ring = make([]float32, s.Classes*s.Patch[1]*s.Patch[2]), newRing(s, len(models), size)
	if len(g.flips) > 1 {
		g.sum = make([]float32, len(g.plane)*s.Patch[0])
	}
	return g.run(ctx, shape, before, out)
}

// flips lists the sets of axes along which tiles are predicted flipped, no axis first.
func flips(mirror [3]bool) (list [][3]bool) {
	for k := range 8 {
		axes := [3]bool{k&1 != 0, k&2 != 0, k&4 != 0}
		if (!axes[0] || mirror[0]) && (!axes[1] || mirror[1]) && (!axes[2] || mirror[2]) {
			list = append(list, axes)
		}
	}
	return list
}

func voxels(s [3]int) int { return s[0] * s[1] * s[2] }

type segmenter struct {
	Settings
	network Network
	models  []Model
	image   *slab
	size    [3]int
	flips   [][3]bool
	device  *blended // or nil, then ring
	ring    *ring
	done    Finished

	tile, plane  []float32
	flipped, sum []float32 // (D, H, W) and (D, C, H, W), where Mirror asks for flips
}

func (g *segmenter) run(ctx context.Context, shape, before [3]int, out Rows) error {
	rows := grouped(patch.Windows(g.size, g.Patch, g.Step), 0)
	for i, row := range rows {
		at := row[0][0]
		if err := g.image.move(ctx, at); err != nil {
			return err
		}
		end := g.size[0]
		if i+1 < len(rows) {
			end = rows[i+1][0][0]
		}
		if err := g.row(ctx, row, func(y, below int) error { return g.finish([2]int{at, end}, [2]int{y, below}, shape, before, out) }); err != nil {
			return err
		}
	}
	return nil
}

// grouped splits tiles in their order by where they begin on an axis.
func grouped(tiles [][3]int, axis int) (groups [][][3]int) {
	for i, j := 0, 0; i < len(tiles); i = j {
		for j = i; j < len(tiles) && tiles[j][axis] == tiles[i][axis]; j++ {
		}
		groups = append(groups, tiles[i:j])
	}
	return groups
}

// row predicts the tiles of one z by every model. With several models the weights are
// exchanged once a row, so that one network's memory serves all. While the last model goes
// on, rows of planes that no tile will touch any more are finished; by a device all at the end.
func (g *segmenter) row(ctx context.Context, tiles [][3]int, finish func(y, below int) error) error {
	bands := grouped(tiles, 1)
	if g.device != nil {
		bands = [][][3]int{tiles}
	}
	for m, model := range g.models {
		if err := g.network.Use(model); err != nil {
			return fmt.Errorf("predict: model %d of %d: %w", m+1, len(g.models), err)
		}
		for i, band := range bands {
			if err := g.band(ctx, m, band); err != nil {
				return err
			}
			if m < len(g.models)-1 {
				continue
			}
			below := g.size[1]
			if i+1 < len(bands) {
				below = bands[i+1][0][1]
			}
			if err := finish(band[0][1], below); err != nil {
				return err
			}
		}
	}
	return nil
}

// band predicts tiles by the model in use.
func (g *segmenter) band(ctx context.Context, model int, tiles [][3]int) error {
	for _, at := range tiles {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := g.predict(ctx, model, at); err != nil {
			return fmt.Errorf("predict: tile at %v: %w", at, err)
		}
	}
	return nil
}

// finish hands out the rows of planes, both [lo, hi) of the padded image, and makes room.
func (g *segmenter) finish(z, y [2]int, shape, before [3]int, out Rows) error {
	first, n := max(y[0], before[1]), min(y[1], before[1]+shape[1])-max(y[0], before[1])
	for k := z[0]; k < z[1]; k++ {
		if inside := k - before[0]; inside >= 0 && inside < shape[0] && n > 0 {
			if err := g.hand(k, first, n, shape, before, out); err != nil {
				return err
			}
		}
		if g.device == nil {
			g.ring.clear(k, y[0], y[1]-y[0])
		} else if err := g.device.Clear(k); err != nil {
			return err
		}
	}
	return nil
}

// hand gives out n rows of a plane, by a device all.
func (g *segmenter) hand(z, y, n int, shape, before [3]int, out Rows) error {
	if g.device != nil {
		if err := g.device.plane(z, shape, before, &g.done); err != nil {
			return err
		}
		return out(z-before[0], 0, g.done)
	}
	if area := n * shape[2]; area > cap(g.done.Labels) {
		g.done = newFinished(g.Settings, len(g.models), area)
	} else {
		g.done = g.done.first(area, g.Classes)
	}
	g.ring.finish(z, y, shape[2], before[2], g.done)
	return out(z-before[0], y-before[1], g.done)
}

// predict blends the tile at a position into a model's planes, one plane after the
// other while the caches have it.
func (g *segmenter) predict(ctx context.Context, model int, at [3]int) error {
	g.cut(at)
	if g.device != nil {
		return g.leave(ctx, model, at)
	}
	planes := g.network.Plane
	if g.sum == nil {
		if err := g.forward(ctx, g.tile); err != nil {
			return err
		}
	} else {
		if err := g.mirror(ctx); err != nil {
			return err
		}
		planes = g.mean
	}
	for z := range g.Patch[0] {
		if err := planes(z, g.plane); err != nil {
			return err
		}
		if g.Softmax {
			softmax(g.plane, g.Classes, g.Patch[2])
		}
		g.ring.add(model, at, z, g.plane)
	}
	return nil
}

// forward computes a tile, and is the one place that does.
func (g *segmenter) forward(ctx context.Context, tile []float32) error {
	metrics.AddForward(ctx)
	return g.network.Forward(ctx, tile)
}

// leave blends the tile, and its flips, where the device has left their logits.
func (g *segmenter) leave(ctx context.Context, model int, at [3]int) error {
	for _, axes := range g.flips {
		if err := g.forward(ctx, g.turned(axes)); err != nil {
			return err
		}
		if err := g.device.Add(model, at, axes, 1/float32(len(g.flips))); err != nil {
			return err
		}
	}
	return nil
}

// turned is the tile, flipped along the axes.
func (g *segmenter) turned(axes [3]bool) []float32 {
	if axes == [3]bool{} {
		return g.tile
	}
	clear(g.flipped)
	addFlipped(g.flipped, g.tile, 1, g.Patch, axes)
	return g.flipped
}

// mirror sums the logits of all the flips that Mirror asks for.
func (g *segmenter) mirror(ctx context.Context) error {
	clear(g.sum)
	for _, axes := range g.flips {
		if err := g.flip(ctx, axes); err != nil {
			return err
		}
	}
	return nil
}

// flip adds the logits of the tile flipped along the axes, flipped back.
func (g *segmenter) flip(ctx context.Context, axes [3]bool) error {
	if err := g.forward(ctx, g.turned(axes)); err != nil {
		return err
	}
	d, size := g.Patch[0], len(g.plane)
	for z := range d {
		if err := g.network.Plane(z, g.plane); err != nil {
			return err
		}
		to := z
		if axes[0] {
			to = d - 1 - z
		}
		addFlipped(g.sum[to*size:][:size], g.plane, g.Classes, [3]int{1, g.Patch[1], g.Patch[2]}, axes)
	}
	return nil
}

// mean is Plane of the mean of all flips.
func (g *segmenter) mean(z int, logits []float32) error {
	for i, v := range g.sum[z*len(logits):][:len(logits)] {
		logits[i] = v / float32(len(g.flips))
	}
	return nil
}

// cut takes a tile from the planes of its row of tiles.
func (g *segmenter) cut(at [3]int) {
	d, h, w := g.Patch[0], g.Patch[1], g.Patch[2]
	for z := range d {
		for y := range h {
			from := (z*g.size[1]+at[1]+y)*g.size[2] + at[2]
			copy(g.tile[(z*h+y)*w:][:w], g.image.planes[from:from+w])
		}
	}
}

// addFlipped adds each channel of src (C, D, H, W), flipped along the axes, to dst.
func addFlipped(dst, src []float32, channels int, shape [3]int, axes [3]bool) {
	d, h, w := shape[0], shape[1], shape[2]
	parallel(channels*d, func(_, i int) {
		c, z := i/d, i%d
		from := z
		if axes[0] {
			from = d - 1 - z
		}
		for y := range h {
			at := y
			if axes[1] {
				at = h - 1 - y
			}
			a, b := dst[((c*d+z)*h+y)*w:][:w], src[((c*d+from)*h+at)*w:][:w]
			for x := range a {
				if axes[2] {
					a[x] += b[w-1-x]
				} else {
					a[x] += b[x]
				}
			}
		}
	})
}
