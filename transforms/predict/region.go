package predict

import (
	"context"
	"fmt"
	"math"
	"slices"

	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/patch"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

const (
	bodyHU = -500 // denser than this is body, as long as the plan's clipping leaves it visible
	bodyMM = 4    // edge of the blocks in which the body is looked for
	// crumb is the part of the largest piece of foreground below which a piece does not
	// count as found.
	crumb = 0.01
)

// region is the box of a prepared image (z, y, x) over which tiles are laid, by the
// plan's inference.tiles; what lies outside is background. It is as large as a tile
// where the image is. seconds is how long a network looked for it. An image without a
// body is a *cases.Fault without its file.
func (c Config) region(ctx context.Context, st *store.Store, image []float32, shape [3]int) (box volume.Box, seconds float64, err error) {
	if !c.limited() {
		return volume.Whole(shape), 0, nil
	}
	body, found := bodyBox(image, shape, c.Plan)
	if !found {
		return body, 0, &cases.Fault{
			Kind: cases.NoBody, Remedy: "check that the voxels are HU, or label it with --tiles all",
			Err: fmt.Errorf("nothing is denser than %.0f HU", bodyThreshold(c.Plan.Intensity)),
		}
	}
	box = atLeast(body, c.Plan.PatchSize, shape)
	if c.Plan.Inference.Tiles == plan.RegionTiles {
		box, err = c.organs(image, shape, box, c.looker(ctx, st, &seconds))
	}
	return box, seconds, err
}

// limited tells whether the plan leaves parts of scans out.
func (c Config) limited() bool {
	return c.Plan.Inference.Tiles == plan.BodyTiles || c.Plan.Inference.Tiles == plan.RegionTiles
}

// inRegion is withNetwork for work on the region of an image.
func (c Config) inRegion(ctx context.Context, st *store.Store, image []float32, shape [3]int, work func(Network, []Model, Settings) error) (seconds float64, err error) {
	box, looked, err := c.region(ctx, st, image, shape)
	if err != nil {
		return 0, err
	}
	seconds, err = c.withNetwork(ctx, st, func(n Network, models []Model, s Settings) error {
		s.Box = box
		return work(n, models, s)
	})
	return looked + seconds, err
}

// bodyThreshold is bodyHU or, where the plan clips above it, a hundredth of its range
// above the clip: what is less dense looks like air then.
func bodyThreshold(t plan.Intensity) float64 {
	return max(bodyHU, t.P005+(t.P995-t.P005)/100)
}

// bodyBox bounds the largest connected piece of tissue.
func bodyBox(image []float32, shape [3]int, p plan.Plan) (volume.Box, bool) {
	threshold := []float32{float32(bodyThreshold(p.Intensity))}
	resample.Normalise(threshold, p.Intensity)
	t := newThumbnail(image, shape, volume.Whole(shape), blocks(p.Spacing, bodyMM))
	inside := make([]bool, len(t.data))
	for i, v := range t.data {
		inside[i] = v > threshold[0]
	}
	list := pieces(inside, t.shape)
	if len(list) == 0 {
		return volume.Box{}, false
	}
	return grown(t.whole(largest(list).box), bodyMM, p.Spacing, volume.Whole(shape)), true // blocks at the skin are mostly air
}

func largest(list []piece) piece {
	return slices.MaxFunc(list, func(a, b piece) int { return a.voxels - b.voxels })
}

// organs is the part of a box in which a look finds organs, with the plan's margin. The
// look is at a thumbnail of the box. Where it finds nothing, or where it would take more
// than half as many tiles as the box itself, it is the whole box.
func (c Config) organs(image []float32, shape [3]int, box volume.Box, look func(thumbnail) ([]uint8, error)) (volume.Box, error) {
	block := c.thumbnailBlocks()
	if 2*c.tiles(reduced(box.Shape(), block)) > c.tiles(box.Shape()) {
		return box, nil
	}
	t := newThumbnail(image, shape, box, block)
	labels, err := look(t)
	if err != nil {
		return box, err
	}
	found := pieces(foreground(labels), t.shape)
	if len(found) == 0 {
		return box, nil
	}
	region := grown(t.whole(gathered(found)), c.Plan.Inference.RegionMarginMM, c.Plan.Spacing, box)
	return atLeast(region, c.Plan.PatchSize, shape), nil
}

// thumbnailBlocks are what organs are looked for in.
func (c Config) thumbnailBlocks() [3]int {
	return blocks(c.Plan.Spacing, c.Plan.Inference.RegionScale*slices.Min(c.Plan.Spacing[:]))
}

// looker labels thumbnails with the models, without flips, and adds up the seconds.
func (c Config) looker(ctx context.Context, st *store.Store, seconds *float64) func(thumbnail) ([]uint8, error) {
	return func(t thumbnail) (labels []uint8, err error) {
		took, err := c.withNetwork(ctx, st, func(n Network, models []Model, s Settings) error {
			s.Mirror = [3]bool{}
			r, err := Labels(ctx, t.data, t.shape, n, models, s)
			if err == nil {
				labels = r.Labels
			}
			return err
		})
		*seconds += took
		return labels, err
	}
}

// tiles is how many tiles an image of a shape takes.
func (c Config) tiles(shape [3]int) int { return len(c.windows(shape)) }

func (c Config) windows(shape [3]int) [][3]int {
	size, _ := patch.Pad(shape, c.Plan.PatchSize)
	return patch.Windows(size, c.Plan.PatchSize, c.Plan.Inference.StepSize)
}

func foreground(labels []uint8) []bool {
	inside := make([]bool, len(labels))
	for i, label := range labels {
		inside[i] = label > 0
	}
	return inside
}

// gathered bounds all pieces but crumbs.
func gathered(list []piece) volume.Box {
	least := crumb * float64(largest(list).voxels)
	box := largest(list).box
	for _, p := range list {
		if float64(p.voxels) >= least {
			for a := range 3 {
				box.Lo[a], box.Hi[a] = min(box.Lo[a], p.box.Lo[a]), max(box.Hi[a], p.box.Hi[a])
			}
		}
	}
	return box
}

// grown adds a margin to a box, within another.
func grown(b volume.Box, mm float64, spacing [3]float64, within volume.Box) volume.Box {
	for a := range 3 {
		n := int(math.Ceil(mm / spacing[a]))
		b.Lo[a], b.Hi[a] = max(b.Lo[a]-n, within.Lo[a]), min(b.Hi[a]+n, within.Hi[a])
	}
	return b
}

// atLeast extends a box to a size as far as the shape allows, evenly where it does: a
// tile had better see what is there than nothing.
func atLeast(b volume.Box, size, shape [3]int) volume.Box {
	for a := range 3 {
		short := min(size[a], shape[a]) - (b.Hi[a] - b.Lo[a])
		if short > 0 {
			b.Lo[a] = min(max(b.Lo[a]-short/2, 0), shape[a]-min(size[a], shape[a]))
			b.Hi[a] = b.Lo[a] + min(size[a], shape[a])
		}
	}
	return b
}
