package predict

import (
	"fmt"
	"math"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/model/unet"
	"noisystudent/transforms/patch"
	"noisystudent/transforms/resample"
)

// Footprint is what labelling a scan takes of memory beside its network's arena, in bytes.
type Footprint struct {
	Input   int64 // voxels as the file has them: 2 bytes each, or 4
	Ring    int64 // models x classes x rows of planes x 4, and the weights of the blend
	Slab    int64 // planes of the prepared image, a tile, its logits, finished rows
	Labels  int64 // on the scan's grid; for export probabilities on the network's too
	Weights int64 // of the models, which the process keeps, and of one that is read
	Base    int64 // packing, reading, and what waits to be collected
	Read    int64 // the scan while it is read, when nothing of the others is there

	models, classes, rows, width int
}

// blending is what tiles over the prepared image of a scan take.
type blending struct {
	shape [3]float64 // of the image
	rows  float64    // of the last model's planes that are in work at once; of the others it is all that a tile is deep
	ring  float64    // bytes
	slab  float64    // values: planes of the image, a tile, its logits, finished rows
}

func (c Config) blending(g volume.Geometry) blending {
	var b blending
	patched, models, classes := c.Plan.PatchSize, float64(len(c.Models)), float64(c.Plan.Classes())
	for a := range 3 {
		b.shape[a] = max(math.Round(float64(g.Shape[a])*g.Spacing[a]/c.Plan.Spacing[a]), float64(patched[a]))
	}
	depth, height, width := float64(patched[0]), b.shape[1], b.shape[2]
	shared := depth // planes of a row of tiles that the row before has reached too
	s, err := c.settings()
	if err == nil && !c.limited() { // else nothing is known of the box
		shared = float64(overlap(int(min(b.shape[0], maxAxis)), s))
	}
	b.rows = shared*height + (depth-shared)*float64(patched[1])
	b.ring = 4 * width * ((models-1)*classes*depth*height + (classes+1)*(b.rows+rowsAtOnce))
	tile := float64(patched[0] * patched[1] * patched[2])
	b.slab = depth*height*width + tile + classes*float64(patched[1])*(width+float64(patched[2]))
	if err == nil && s.Mirror != [3]bool{} {
		b.slab += tile * (1 + classes)
	}
	if c.limited() {
		b.slab += height * width * classes // rows around the box's rows
	}
	return b
}

// overlap is the most planes that two rows of tiles share.
func overlap(planes int, s Settings) int {
	rows := patch.Windows([3]int{max(planes, s.Patch[0]), 1, 1}, [3]int{s.Patch[0], 1, 1}, s.Step)
	most := 0
	for i := range rows[1:] {
		most = max(most, rows[i][0]+s.Patch[0]-rows[i+1][0])
	}
	return most
}

// SegmentBytes is what labelling the prepared image of a scan of a grid takes beside that
// image, which is there as a whole, and its network.
func (c Config) SegmentBytes(g volume.Geometry) int64 {
	b := c.blending(g)
	voxels := b.shape[0] * b.shape[1] * b.shape[2]
	labels := 2 * (voxels + float64(g.Voxels()))
	if c.Doubts {
		labels += 2*voxels + float64(len(c.Models))*b.shape[1]*b.shape[2]
	}
	return capped(b.ring + 4*b.slab + labels)
}

// Footprint is the scan's whose header says a grid and a frame.
func (c Config) Footprint(g volume.Geometry, frame nifti.Frame) Footprint {
	b := c.blending(g)
	plane, classes, voxels := b.shape[1]*b.shape[2], float64(c.Plan.Classes()), float64(g.Voxels())
	width, copies := 4.0, 9.0/8 // see nifti.Read: memory follows what has arrived
	if frame.Short {
		width = 2
	}
	if frame.Axes.From != volume.Unmoved.From {
		copies = 2
	}
	slab, labels := b.slab, voxels
	if c.limited() {
		slab += plane * b.shape[0] // the image is made as a whole, to look at it
	}
	if c.Plan.Inference.Export == "probabilities" {
		labels += b.shape[0] * plane
		slab += classes * (2*plane + float64(c.Plan.PatchSize[0])*b.shape[2]) // two planes, and a row of each plane
	}
	if copies == 2 {
		labels += voxels // in the file's order
	}
	parameters := 0
	for _, p := range unet.Params(c.Plan.Network) {
		parameters += p.Len()
	}
	return Footprint{
		Input: capped(width * voxels), Ring: capped(b.ring), Slab: capped(4*slab + float64(resample.SlabBytes(g, c.Plan))), Labels: capped(labels), Read: capped(width * voxels * copies),
		Weights: int64(4*parameters) * int64(len(c.Models)+1), Base: base,
		models: len(c.Models), classes: int(classes), rows: int(capped(b.rows)), width: int(min(b.shape[2], maxAxis)),
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
	return fmt.Sprintf("%d MiB = input %d + models %d x classes %d x rows %d of %d x 4 bytes %d + slabs %d + labels %d + weights %d + %d",
		mib(f.Bytes()), mib(f.Input), f.models, f.classes, f.rows, f.width, mib(f.Ring), mib(f.Slab), mib(f.Labels), mib(f.Weights), mib(f.Base))
}
