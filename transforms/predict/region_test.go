package predict

import (
	"bytes"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/model/random"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

func TestThumbnailIsTheMeanOfBlocks(t *testing.T) {
	shape := [3]int{7, 10, 11}
	image := noise(voxels(shape))
	for _, box := range []volume.Box{volume.Whole(shape), {Lo: [3]int{1, 3, 2}, Hi: [3]int{6, 10, 9}}} {
		for _, block := range [][3]int{{1, 1, 1}, {2, 3, 4}, {7, 10, 11}, {5, 1, 20}} {
			got, inside := newThumbnail(image, shape, box, block), volume.Crop(image, shape, box)
			h, w := box.Shape()[1], box.Shape()[2]
			sums, counts := make([]float64, len(got.data)), make([]float64, len(got.data))
			for i, v := range inside {
				at := (i/(h*w)/block[0]*got.shape[1]+i/w%h/block[1])*got.shape[2] + i%w/block[2]
				sums[at] += float64(v)
				counts[at]++
			}
			for i, v := range got.data {
				if want := sums[i] / counts[i]; math.Abs(float64(v)-want) > 1e-5 {
					t.Fatalf("%v in blocks of %v: voxel %d is %v, want %v", box, block, i, v, want)
				}
			}
			if b := got.whole(volume.Whole(got.shape)); b != box {
				t.Errorf("blocks of %v: all of the thumbnail is %v, want %v", block, b, box)
			}
		}
	}
}

func TestPieces(t *testing.T) {
	shape := [3]int{3, 4, 5}
	inside := make([]bool, voxels(shape))
	for _, at := range [][3]int{{0, 0, 0}, {0, 0, 1}, {1, 0, 1}, {1, 1, 2}, {2, 3, 4}} { // the fourth touches by an edge only
		inside[(at[0]*4+at[1])*5+at[2]] = true
	}
	want := []piece{
		{3, volume.Box{Hi: [3]int{2, 1, 2}}},
		{1, volume.Box{Lo: [3]int{1, 1, 2}, Hi: [3]int{2, 2, 3}}},
		{1, volume.Box{Lo: [3]int{2, 3, 4}, Hi: shape}},
	}
	if d := cmp.Diff(want, pieces(inside, shape), cmp.AllowUnexported(piece{})); d != "" {
		t.Errorf("pieces (-want +got)\n%s", d)
	}
}

// A box is extended no further than it must be and never leaves the image.
func TestAtLeast(t *testing.T) {
	s := random.New(3)
	for range 2000 {
		var b volume.Box
		var size, shape [3]int
		for a := range 3 {
			shape[a], size[a] = 1+s.IntN(20), 1+s.IntN(20)
			b.Lo[a] = s.IntN(shape[a])
			b.Hi[a] = b.Lo[a] + 1 + s.IntN(shape[a]-b.Lo[a])
		}
		got := atLeast(b, size, shape)
		for a := range 3 {
			if got.Lo[a] < 0 || got.Hi[a] > shape[a] || got.Lo[a] > b.Lo[a] || got.Hi[a] < b.Hi[a] || got.Shape()[a] != max(b.Shape()[a], min(size[a], shape[a])) {
				t.Fatalf("%v, at least %v of %v: %v", b, size, shape, got)
			}
		}
	}
}

// lying is a patient on a table, in HU with noise, within air: where the body is, where
// its one organ.
func lying(shape [3]int) (image []float32, body, organ volume.Box) {
	body = volume.Box{Lo: [3]int{0, shape[1] / 4, shape[2] / 4}, Hi: [3]int{shape[0], shape[1] / 4 * 3, shape[2] / 4 * 3}}
	organ = volume.Box{Lo: [3]int{shape[0] / 2, shape[1] / 2, shape[2] / 2}}
	for a := range 3 {
		organ.Hi[a] = organ.Lo[a] + 4
	}
	image = make([]float32, voxels(shape))
	s := random.New(5)
	for i := range image {
		z, y, x := i/(shape[1]*shape[2]), i/shape[2]%shape[1], i%shape[2]
		in := func(b volume.Box) bool {
			return z >= b.Lo[0] && z < b.Hi[0] && y >= b.Lo[1] && y < b.Hi[1] && x >= b.Lo[2] && x < b.Hi[2]
		}
		hu := -1000.0
		switch {
		case in(organ):
			hu = 200
		case in(body):
			hu = 0
		case y == 1: // the table
			hu = -200
		}
		image[i] = float32(hu + 10*s.NormalAt(uint64(i)))
	}
	return image, body, organ
}

func TestBodyBox(t *testing.T) {
	shape := [3]int{20, 40, 48}
	hu, body, _ := lying(shape)
	for name, intensity := range map[string]plan.Intensity{
		"air is seen": {Mean: 0, SD: 200, P005: -970, P995: 240}, "air is clipped": {Mean: 60, SD: 80, P005: -150, P995: 250},
	} {
		image := append([]float32(nil), hu...)
		resample.Normalise(image, intensity)
		for _, spacing := range [][3]float64{{4, 4, 4}, {2.5, 2, 2}, {5, 0.8, 0.8}} {
			p := plan.Plan{Spacing: spacing, Intensity: intensity}
			got, ok := bodyBox(image, shape, p)
			block := blocks(spacing, bodyMM)
			for a := range 3 {
				if !ok || !contains(got, body) || got.Lo[a] < body.Lo[a]-2*block[a] || got.Hi[a] > body.Hi[a]+2*block[a] {
					t.Errorf("%s, %v mm: %v, %v, want %v and at most two blocks of %v", name, spacing, got, ok, body, block)
				}
			}
		}
	}
}

// bright stands for models that take what is bright for an organ.
func bright(t thumbnail) ([]uint8, error) {
	labels := make([]uint8, len(t.data))
	for i, v := range t.data {
		if v > 1.5 {
			labels[i] = 3
		}
	}
	return labels, nil
}

func nothing(t thumbnail) ([]uint8, error) { return make([]uint8, len(t.data)), nil }

func TestOrgans(t *testing.T) {
	shape := [3]int{40, 64, 80}
	image, _, organ := lying(shape)
	c := Config{Plan: fittest.Plan()}
	resample.Normalise(image, c.Plan.Intensity)
	c.Plan.Inference.RegionScale, c.Plan.Inference.RegionMarginMM = 4, 4.5 // blocks of 2x4x4, margins of 2x3x3
	whole := volume.Whole(shape)
	got, err := c.organs(image, shape, whole, bright)
	want := volume.Box{Lo: [3]int{18, 29, 37}, Hi: [3]int{26, 39, 47}} // no less than the patch of 8x8x8
	if err != nil || got != want || !contains(got, organ) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	inner := volume.Box{Lo: [3]int{3, 20, 20}, Hi: [3]int{39, 60, 70}}
	if got, err := c.organs(image, shape, inner, bright); err != nil || !contains(got, organ) || !contains(inner, got) || got.Voxels() > 2*want.Voxels() {
		t.Errorf("within %v: %v, %v", inner, got, err)
	}
	if got, err := c.organs(image, shape, inner, nothing); err != nil || got != inner {
		t.Errorf("nothing is found: %v, %v, want the whole box", got, err)
	}
	looked := func(thumbnail) ([]uint8, error) {
		t.Error("looked where that takes as many tiles as the box")
		return nil, nil
	}
	small := volume.Box{Hi: [3]int{8, 8, 8}}
	if got, err := c.organs(image, shape, small, looked); err != nil || got != small {
		t.Errorf("a box of few tiles: %v, %v", got, err)
	}
	c.Plan.Inference.RegionScale = 1
	if got, err := c.organs(image, shape, whole, looked); err != nil || got != whole {
		t.Errorf("voxels as coarse as the look: %v, %v", got, err)
	}
}

// A crumb far from all else does not count, a second organ does.
func TestGathered(t *testing.T) {
	big := piece{500, volume.Box{Lo: [3]int{2, 2, 2}, Hi: [3]int{10, 10, 10}}}
	organ := piece{5, volume.Box{Lo: [3]int{0, 4, 4}, Hi: [3]int{1, 6, 6}}}
	crumb := piece{4, volume.Box{Lo: [3]int{0, 0, 0}, Hi: [3]int{1, 2, 2}}}
	if got, want := gathered([]piece{crumb, big, organ}), (volume.Box{Lo: [3]int{0, 2, 2}, Hi: [3]int{10, 10, 10}}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func contains(outer, inner volume.Box) bool {
	for a := range 3 {
		if inner.Lo[a] < outer.Lo[a] || inner.Hi[a] > outer.Hi[a] {
			return false
		}
	}
	return true
}

// Within the box there is what Segment makes of the box alone, around it background.
func TestSegmentBox(t *testing.T) {
	shape := [3]int{9, 20, 17}
	image := noise(voxels(shape))
	box := volume.Box{Lo: [3]int{2, 5, 3}, Hi: [3]int{8, 15, 12}}
	for _, models := range [][]Model{{gain(2)}, {gain(2), gain(-1)}} {
		s := Settings{Classes: 3, Patch: [3]int{4, 6, 8}, Step: 0.5, Scores: true}
		alone := make([][]float32, box.Shape()[0])
		err := Segment(t.Context(), volume.Crop(image, shape, box), box.Shape(), &pointwise{}, models, s, byPlane(box.Shape(), func(z int, f Finished) error {
			alone[z] = append([]float32(nil), f.Scores...)
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		s.Box = box
		next, area, inner := 0, shape[1]*shape[2], box.Shape()
		err = Segment(t.Context(), image, shape, &pointwise{}, models, s, byPlane(shape, func(z int, f Finished) error {
			if z != next || len(f.Scores) != 3*area || len(f.Labels) != area {
				t.Fatalf("plane %d after %d, %d scores, %d labels", z, next-1, len(f.Scores), len(f.Labels))
			}
			next++
			for i := range area {
				y, x := i/shape[2]-box.Lo[1], i%shape[2]-box.Lo[2]
				in := z >= box.Lo[0] && z < box.Hi[0] && y >= 0 && y < inner[1] && x >= 0 && x < inner[2]
				for c := range 3 {
					want := float32(0)
					switch {
					case in:
						want = alone[z-box.Lo[0]][(c*inner[1]+y)*inner[2]+x]
					case c == 0 && len(models) == 1:
						want = certain
					case c == 0:
						want = 1
					}
					if got := f.Scores[c*area+i]; got != want {
						t.Fatalf("%d models, plane %d voxel %d class %d: %v, want %v", len(models), z, i, c, got, want)
					}
				}
				if !in && f.Labels[i] != 0 {
					t.Fatalf("plane %d voxel %d around the box is %d", z, i, f.Labels[i])
				}
			}
			return nil
		}))
		if err != nil || next != shape[0] {
			t.Errorf("%d planes, %v", next, err)
		}
	}
}

var lyingShape = [3]int{10, 36, 40}

// wide is a scan of a body in much air, as a file.
func wide(t *testing.T, id string, hu func(float32) float32) cases.Case {
	t.Helper()
	g := volume.Geometry{Shape: lyingShape, Spacing: [3]float64{3, 1.5, 1.5}, Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}}}
	image, _, _ := lying(g.Shape)
	for i, v := range image {
		image[i] = hu(v)
	}
	var data bytes.Buffer
	folder := t.TempDir()
	err := nifti.WriteVolume(&data, &volume.Volume{Geometry: g, Data: image}, nifti.NewFrame(g), nifti.Float32)
	var st *store.Store
	if err == nil {
		st, err = store.Open(t.Context(), folder)
	}
	if err == nil {
		err = st.Write(t.Context(), id+"_0000.nii.gz", data.Bytes())
	}
	if err != nil {
		t.Fatal(err)
	}
	return cases.Case{ID: id, Set: cases.Test, Image: st.Address(id + "_0000.nii.gz")}
}

// Less than all takes fewer tiles, labels are in the body only, threads do not show, and both
// exports and several models take part.
func TestScanTiles(t *testing.T) {
	scan := wide(t, "x", func(v float32) float32 { return v })
	for _, export := range []string{"labels", "probabilities"} {
		forwards := map[string]int64{}
		for _, tiles := range []string{"all", "body", "region"} {
			var first []byte
			for _, threads := range []int{1, 5} {
				st, c := ready(t, 2)
				c.Plan.Inference.Export, c.Plan.Inference.Tiles = export, tiles
				c.Plan.Inference.RegionScale, c.Plan.Inference.RegionMarginMM = 4, 3
				before := runtime.GOMAXPROCS(threads)
				ctx := metrics.Begin(t.Context())
				row, err := Scan(ctx, st, c, scan)
				runtime.GOMAXPROCS(before)
				if err != nil || row.Outcome != manifest.Done {
					t.Fatal(tiles, row, err)
				}
				forwards[tiles] = metrics.Book(ctx, "test", "x", "").Forwards
				labels := readRAS(t, st.Address(row.Output)).Data
				if first == nil {
					first = labels
				} else if !bytes.Equal(first, labels) {
					t.Errorf("%s, %s: other labels with five threads", export, tiles)
				}
				if tiles != "all" {
					inBody(t, labels)
				}
			}
		}
		if forwards["body"] >= forwards["all"] || forwards["body"] == 0 {
			t.Errorf("%s: by what is computed: %v", export, forwards)
		}
	}
}

func inBody(t *testing.T, labels []uint8) {
	t.Helper()
	_, body, _ := lying(lyingShape)
	found, h, w := 0, lyingShape[1], lyingShape[2]
	for i, label := range labels {
		at := [3]int{i / (h * w), i / w % h, i % w}
		for a := range 3 {
			if label > 0 && (at[a] < body.Lo[a]-5 || at[a] >= body.Hi[a]+5) { // a block and a margin of 4 mm
				t.Fatalf("voxel %v of %v is labelled %d", at, body, label)
			}
		}
		found += int(min(label, 1))
	}
	if found == 0 {
		t.Error("nothing is labelled: the test sees nothing")
	}
}

// Where everything is body, leaving out what is not changes no byte.
func TestAllIsBody(t *testing.T) {
	scan := fittest.File(t, t.TempDir(), "x", 3, 0.87)
	var want []byte
	for _, tiles := range []string{"", "all", "body"} {
		st, c := ready(t, 2)
		c.Plan.Inference.Tiles = tiles
		row, err := Scan(t.Context(), st, c, scan)
		if err != nil || row.Outcome != manifest.Done {
			t.Fatal(row, err)
		}
		got := readRAS(t, st.Address(row.Output)).Data
		if want == nil {
			want = got
		}
		if !bytes.Equal(want, got) {
			t.Errorf("tiles %q: other labels", tiles)
		}
	}
}

func TestNoBody(t *testing.T) {
	air := wide(t, "air", func(float32) float32 { return -1000 })
	st, c := ready(t, 1)
	c.Plan.Inference.Tiles, c.Plan.Inference.RegionScale, c.Plan.Inference.RegionMarginMM = "region", 3, 20
	row, err := Scan(t.Context(), st, c, air)
	if err != nil || row.Outcome != manifest.Rejected || row.Reason != cases.NoBody || !strings.Contains(row.Message, air.Image) || !strings.Contains(row.Message, "--tiles all") {
		t.Errorf("row %+v, error %v", row, err)
	}
	c.Plan.Inference.Tiles = "all"
	if row, err := Scan(t.Context(), st, c, air); err != nil || row.Outcome != manifest.Done {
		t.Errorf("of the whole scan: row %+v, error %v", row, err)
	}
}

func TestRegionIsAdmitted(t *testing.T) {
	g := volume.Geometry{Shape: [3]int{100, 200, 200}, Spacing: [3]float64{3, 1.5, 1.5}}
	_, c := ready(t, 1)
	frame := nifti.NewFrame(g)
	plain := c.Footprint(g, frame).Bytes()
	c.Plan.Inference.Tiles = "body"
	if more := c.Footprint(g, frame).Bytes() - plain; more < 4*int64(g.Voxels()) {
		t.Errorf("the whole image, which is looked at, of %d bytes is admitted with %d", 4*g.Voxels(), more)
	}
}
