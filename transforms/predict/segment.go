package predict

import (
	"context"
	"fmt"
	"math"

	"noisystudent/io/volume"
	"noisystudent/model/engine"
	"noisystudent/transforms/patch"
)

// Model is a network's weights; the digest names them.
type Model struct {
	Digest  string
	Weights map[string]engine.Tensor
}

// Network gives the logits of one tile: (1, 1, D, H, W) to (1, C, D, H, W), by the
// model that it was last told to use.
type Network interface {
	Use(m Model) error
	Logits(ctx context.Context, images, logits []float32) error
}

// Settings say how tiles become labels.
type Settings struct {
	Classes int
	Patch   [3]int
	Step    float64 // of a tile, in (0, 1]
	Mirror  [3]bool // axes (z, y, x) that are also predicted flipped, mean of logits
	Softmax bool    // blend probabilities instead of logits (nnU-Net v1's order)
}

// Plane receives the finished planes of a case in ascending z: logits where there
// is one model and logits were blended, else mean probabilities. values is
// (C, H, W) and belongs to the caller again after the call.
type Plane func(z int, values []float32) error

// Segment runs the models over the tiles of an image (z, y, x) and hands finished
// planes to out. Each model's logits are blended with a Gaussian, then come
// softmax and the mean over the models. Tiles are accumulated in the order of
// their position, and only as many planes as a tile is deep are ever held.
func Segment(ctx context.Context, image []float32, shape [3]int, network Network, models []Model, s Settings, out Plane) error {
	if len(models) == 0 {
		return fmt.Errorf("predict: segment: no model")
	}
	if s.Step <= 0 || s.Step > 1 {
		return fmt.Errorf("predict: segment: step %v of a tile, need more than 0 and at most 1", s.Step)
	}
	padded, size, before := pad(image, shape, s.Patch)
	g := &segmenter{
		Settings: s, network: network, models: models, image: padded, size: size,
		gauss:  patch.Gaussian(s.Patch),
		tile:   make([]float32, voxels(s.Patch)),
		logits: make([]float32, s.Classes*voxels(s.Patch)),
		weight: make([]float32, s.Patch[0]*size[1]*size[2]),
	}
	if s.Mirror != [3]bool{} {
		g.sum = make([]float32, len(g.logits))
	}
	for range models {
		g.blend = append(g.blend, make([]float32, s.Classes*s.Patch[0]*size[1]*size[2]))
	}
	return g.run(ctx, shape, before, out)
}

// pad centres an image in one that is at least a patch; new voxels are 0.
func pad(image []float32, shape, least [3]int) (padded []float32, size, before [3]int) {
	size, before = patch.Pad(shape, least)
	if size == shape {
		return image, size, before
	}
	padded = make([]float32, voxels(size))
	box := volume.Box{Lo: before}
	for a := range 3 {
		box.Hi[a] = before[a] + shape[a]
	}
	volume.Paste(padded, size, box, image)
	return padded, size, before
}

func voxels(s [3]int) int { return s[0] * s[1] * s[2] }

// segmenter holds the planes that tiles may still add to, as a ring over z.
type segmenter struct {
	Settings
	network Network
	models  []Model
	image   []float32
	size    [3]int
	gauss   []float32

	tile, logits, sum []float32
	weight            []float32   // (ring, H, W): sum of Gaussians
	blend             [][]float32 // a model: (C, ring, H, W)
}

func (g *segmenter) run(ctx context.Context, shape, before [3]int, out Plane) error {
	steps := patch.Windows(g.size, g.Patch, g.Step)
	values := make([]float32, g.Classes*shape[1]*shape[2])
	for i := 0; i < len(steps); {
		// One row of tiles: all that begin at the same z.
		j := i
		for j < len(steps) && steps[j][0] == steps[i][0] {
			j++
		}
		if err := g.row(ctx, steps[i:j]); err != nil {
			return err
		}
		end := g.size[0]
		if j < len(steps) {
			end = steps[j][0]
		}
		for z := steps[i][0]; z < end; z++ {
			if inside := z - before[0]; inside >= 0 && inside < shape[0] {
				g.plane(z, shape, before, values)
				if err := out(inside, values); err != nil {
					return err
				}
			}
			g.clear(z)
		}
		i = j
	}
	return nil
}

// row predicts the tiles of one z by every model. With several models the weights
// are exchanged once a row, so that one network's memory serves all.
func (g *segmenter) row(ctx context.Context, tiles [][3]int) error {
	for m, model := range g.models {
		if err := g.network.Use(model); err != nil {
			return fmt.Errorf("predict: model %d of %d: %w", m+1, len(g.models), err)
		}
		for _, at := range tiles {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := g.predict(ctx, at); err != nil {
				return fmt.Errorf("predict: tile at %v: %w", at, err)
			}
			if g.Softmax {
				softmax(g.logits, g.Classes)
			}
			g.add(g.blend[m], at, m == 0)
		}
	}
	return nil
}

// predict fills logits for the tile at a position, as a mean over the flips that Mirror asks for.
func (g *segmenter) predict(ctx context.Context, at [3]int) error {
	g.cut(at)
	if err := g.network.Logits(ctx, g.tile, g.logits); err != nil {
		return err
	}
	if g.sum == nil {
		return nil
	}
	copy(g.sum, g.logits)
	count := 1
	for flip := 1; flip < 8; flip++ {
		axes := [3]bool{flip&1 != 0, flip&2 != 0, flip&4 != 0}
		if axes[0] && !g.Mirror[0] || axes[1] && !g.Mirror[1] || axes[2] && !g.Mirror[2] {
			continue
		}
		reverse(g.tile, 1, g.Patch, axes)
		if err := g.network.Logits(ctx, g.tile, g.logits); err != nil {
			return err
		}
		reverse(g.tile, 1, g.Patch, axes)
		reverse(g.logits, g.Classes, g.Patch, axes)
		for i, v := range g.logits {
			g.sum[i] += v
		}
		count++
	}
	for i, v := range g.sum {
		g.logits[i] = v / float32(count)
	}
	return nil
}

func (g *segmenter) cut(at [3]int) {
	d, h, w := g.Patch[0], g.Patch[1], g.Patch[2]
	for z := range d {
		for y := range h {
			from := ((at[0]+z)*g.size[1]+at[1]+y)*g.size[2] + at[2]
			copy(g.tile[(z*h+y)*w:][:w], g.image[from:from+w])
		}
	}
}

// add blends the logits of a tile into a model's ring.
func (g *segmenter) add(blend []float32, at [3]int, weigh bool) {
	d, h, w := g.Patch[0], g.Patch[1], g.Patch[2]
	plane := g.size[1] * g.size[2]
	for z := range d {
		ring := (at[0] + z) % d
		for y := range h {
			gauss := g.gauss[(z*h+y)*w:][:w]
			to := ring*plane + (at[1]+y)*g.size[2] + at[2]
			if weigh {
				for x, v := range gauss {
					g.weight[to+x] += v
				}
			}
			for c := range g.Classes {
				row := blend[c*d*plane+to:][:w]
				for x, v := range g.logits[((c*d+z)*h+y)*w:][:w] {
					row[x] += v * gauss[x]
				}
			}
		}
	}
}

// plane turns a finished plane of all models into values (C, H, W) of the
// unpadded image.
func (g *segmenter) plane(z int, shape, before [3]int, values []float32) {
	d, plane, area := g.Patch[0], g.size[1]*g.size[2], shape[1]*shape[2]
	probabilities := len(g.models) > 1 && !g.Softmax
	share := 1 / float32(len(g.models))
	clear(values)
	one := make([]float32, g.Classes)
	for y := range shape[1] {
		for x := range shape[2] {
			at := z%d*plane + (y+before[1])*g.size[2] + x + before[2]
			to := y*shape[2] + x
			inverse := 1 / g.weight[at]
			for _, blend := range g.blend {
				for c := range one {
					one[c] = blend[c*d*plane+at] * inverse
				}
				if probabilities {
					softmaxVoxel(one)
				}
				for c, v := range one {
					values[c*area+to] += v * share
				}
			}
		}
	}
}

// clear empties the ring's place of a finished plane for the tiles below.
func (g *segmenter) clear(z int) {
	d, plane := g.Patch[0], g.size[1]*g.size[2]
	clear(g.weight[z%d*plane:][:plane])
	for _, blend := range g.blend {
		for c := range g.Classes {
			clear(blend[(c*d+z%d)*plane:][:plane])
		}
	}
}

// softmax turns logits (C, V) into probabilities in place.
func softmax(logits []float32, classes int) {
	size := len(logits) / classes
	one := make([]float32, classes)
	for v := range size {
		for c := range one {
			one[c] = logits[c*size+v]
		}
		softmaxVoxel(one)
		for c, p := range one {
			logits[c*size+v] = p
		}
	}
}

func softmaxVoxel(logits []float32) {
	top := logits[0]
	for _, v := range logits[1:] {
		top = max(top, v)
	}
	var sum float64
	for c, v := range logits {
		e := math.Exp(float64(v - top))
		logits[c] = float32(e)
		sum += e
	}
	inverse := float32(1 / sum)
	for c := range logits {
		logits[c] *= inverse
	}
}

// reverse flips each channel of (C, D, H, W) along the axes, in place.
func reverse(data []float32, channels int, shape [3]int, axes [3]bool) {
	size := voxels(shape)
	for c := range channels {
		channel := data[c*size:][:size]
		for from := range channel {
			at := [3]int{from / (shape[1] * shape[2]), from / shape[2] % shape[1], from % shape[2]}
			for a, flip := range axes {
				if flip {
					at[a] = shape[a] - 1 - at[a]
				}
			}
			if to := (at[0]*shape[1]+at[1])*shape[2] + at[2]; from < to {
				channel[from], channel[to] = channel[to], channel[from]
			}
		}
	}
}
