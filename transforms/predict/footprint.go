package predict

import (
	"fmt"
	"math"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/model/unet"
	"noisystudent/transforms/resample"
)

// Footprint is what labelling a scan takes of memory beside its network's arena, in bytes.
type Footprint struct {
	Input   int64 // voxels as the file has them: 2 bytes each, or 4
	Ring    int64 // models x classes x planes of a tile x 4, and the weights of the blend
	Slab    int64 // planes of the prepared image, a tile, its logits, finished planes
	Labels  int64 // on the scan's grid; for export probabilities on the network's too
	Weights int64 // of the models, which the process keeps, and of one that is read
	Base    int64 // packing, reading, and what waits to be collected
	Read    int64 // the scan while it is read, when nothing of the others is there

	models, classes, depth int
	plane                  [2]int // of the prepared image
}

// Footprint is the scan's whose header says a grid and a frame.
func (c Config) Footprint(g volume.Geometry, frame nifti.Frame) Footprint {
	var shape [3]float64 // prepared
	for a := range 3 {
		shape[a] = max(math.Round(float64(g.Shape[a])*g.Spacing[a]/c.Plan.Spacing[a]), float64(c.Plan.PatchSize[a]))
	}
	patch, classes := c.Plan.PatchSize, float64(c.Plan.Classes())
	depth, plane, voxels := float64(patch[0]), shape[1]*shape[2], float64(g.Voxels())
	width, copies := 4.0, 9.0/8 // see nifti.Read: memory follows what has arrived
	if frame.Short {
		width = 2
	}
	if frame.Axes.From != volume.Unmoved.From {
		copies = 2
	}
	slab := plane * (depth + classes) // planes of the image, and scores of one
	tile := depth * float64(patch[1]*patch[2])
	slab += tile + classes*float64(patch[1]*patch[2])
	s, err := c.settings()
	if mirrored := err == nil && s.Mirror != [3]bool{}; mirrored {
		slab += tile * (1 + classes)
	}
	if c.limited() {
		slab += plane * (2*shape[0] + 2*classes) // the whole image, the box's, planes around its planes
	}
	labels := voxels
	if c.Plan.Inference.Export == "probabilities" {
		labels += shape[0] * plane
		slab += 2 * plane * classes
	}
	if copies == 2 {
		labels += voxels // in the file's order
	}
	parameters := 0
	for _, p := range unet.Params(c.Plan.Network) {
		parameters += p.Len()
	}
	return Footprint{
		Input: capped(width * voxels), Ring: capped(4 * plane * depth * (classes*float64(len(c.Models)) + 1)),
		Weights: int64(4*parameters) * int64(len(c.Models)+1), Base: base, Slab: capped(4*slab + float64(resample.SlabBytes(g, c.Plan))), Labels: capped(labels), Read: capped(width * voxels * copies),
		models: len(c.Models), classes: int(classes), depth: patch[0], plane: [2]int{int(min(shape[1], maxAxis)), int(min(shape[2], maxAxis))},
	}
}

// base is found by measuring: TestScanTakesWhatIsAdmitted.
const base = 32 << 20

// capped keeps a header that is nonsense from overflowing.
func capped(bytes float64) int64 { return int64(min(bytes, math.MaxInt64/16)) }

// Bytes is the most that is held at once.
func (f Footprint) Bytes() int64 {
	return f.Weights + f.Base + max(f.Read, f.Input+f.Ring+f.Slab+f.Labels)
}

// String is the formula with its terms in MiB.
func (f Footprint) String() string {
	mib := func(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }
	return fmt.Sprintf("%d MiB = input %d + models %d x classes %d x planes %d of %dx%d x 4 bytes %d + slabs %d + labels %d + weights %d + %d",
		mib(f.Bytes()), mib(f.Input), f.models, f.classes, f.depth, f.plane[0], f.plane[1], mib(f.Ring), mib(f.Slab), mib(f.Labels), mib(f.Weights), mib(f.Base))
}
