package predict

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
	"noisystudent/transforms/score"
)

// grids are those of the presets for FLARE's spacing, and the demo's.
var grids = []struct {
	name    string
	spacing [3]float64
	patch   [3]int
}{
	{"low-footprint", [3]float64{2.5, 0.8, 0.8}, [3]int{40, 224, 192}},
	{"laptop", [3]float64{2.5, 1.5, 1.5}, [3]int{48, 128, 128}},
	{"demo", [3]float64{5, 5, 5}, [3]int{16, 48, 64}},
}

func gridConfig(spacing [3]float64, patch [3]int) Config {
	p := plan.Plan{Spacing: spacing, PatchSize: patch, Intensity: plan.Intensity{Mean: 97, SD: 138, P005: -970, P995: 240}, Orientation: "ras", Ignore: -1}
	for k := range 13 {
		p.Labels = append(p.Labels, cases.Label{ID: k + 1})
	}
	p.Inference = plan.Inference{StepSize: 0.5, RegionScale: 3, RegionMarginMM: 20}
	return Config{Plan: p}
}

// matter counts the tiles of a scan: all; over its body; over the region that a look would
// find that misses nothing; those of the region that hold a voxel of an organ; and what the
// look takes.
type matter struct{ all, body, region, holding, look int }

func (c Config) matter(t *testing.T, p *resample.Prepared) (m matter) {
	t.Helper()
	box, ok := bodyBox(p.Image, p.Shape, c.Plan)
	if !ok {
		t.Fatal("no body")
	}
	box = atLeast(box, c.Plan.PatchSize, p.Shape)
	organs := volume.Box{Lo: p.Shape}
	for i, label := range p.Labels {
		if c.organ(label) {
			organs = around(organs, [3]int{i / (p.Shape[1] * p.Shape[2]), i / p.Shape[2] % p.Shape[1], i % p.Shape[2]})
		}
	}
	if !contains(box, organs) {
		t.Errorf("organs in %v, the body in %v", organs, box)
	}
	region := atLeast(grown(organs, c.Plan.Inference.RegionMarginMM, c.Plan.Spacing, box), c.Plan.PatchSize, p.Shape)
	m = matter{all: c.tiles(p.Shape), body: c.tiles(box.Shape()), region: c.tiles(region.Shape()), look: c.tiles(reduced(box.Shape(), c.thumbnailBlocks()))}
	for _, at := range c.windows(region.Shape()) {
		tile := volume.Box{}
		for a := range 3 {
			tile.Lo[a] = at[a] + region.Lo[a]
			tile.Hi[a] = min(tile.Lo[a]+c.Plan.PatchSize[a], p.Shape[a])
		}
		if slices.ContainsFunc(volume.Crop(p.Labels, p.Shape, tile), c.organ) {
			m.holding++
		}
	}
	return m
}

func (c Config) organ(label uint8) bool { return label > 0 && int(label) < c.Plan.Classes() }

func (m *matter) add(n matter) {
	m.all, m.body, m.region, m.holding, m.look = m.all+n.all, m.body+n.body, m.region+n.region, m.holding+n.holding, m.look+n.look
}

// The body's box holds all organs and saves tiles. Run with -v, the test says how many
// in phantoms of 360x450x550 mm.
func TestTilesThatMatter(t *testing.T) {
	if testing.Short() {
		t.Skip("makes large phantoms: not with -short")
	}
	o := phantom.Options{Out: t.TempDir(), Labelled: 2, Seed: 11, Shape: [3]int{72, 90, 110}}
	if err := phantom.Generate(t.Context(), o, 2); err != nil {
		t.Fatal(err)
	}
	for _, g := range grids[1:] {
		c, sum := gridConfig(g.spacing, g.patch), matter{}
		for i := range o.Labelled {
			sum.add(c.matter(t, prepared(t, c.Plan, fmt.Sprintf("%s/imagesTr/labelled_%04d_0000.nii.gz", o.Out, i), fmt.Sprintf("%s/labelsTr/labelled_%04d.nii.gz", o.Out, i))))
		}
		t.Logf("%s: %+v", g.name, sum)
		if sum.body*4 > sum.all*3 {
			t.Errorf("%s: %d of %d tiles are over the body", g.name, sum.body, sum.all)
		}
	}
}

// What no network can mend: true labels, brought to a grid and back to the scan's, against
// themselves. Run with -v, the test says so for each organ of a phantom as fine as FLARE's scans.
func TestGridsCost(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a large phantom: not with -short")
	}
	o := phantom.Options{Out: t.TempDir(), Labelled: 1, Seed: 11, Shape: [3]int{88, 320, 390}, Spacing: [3]float64{2.5, 0.8, 0.8}}
	if err := phantom.Generate(t.Context(), o, 1); err != nil {
		t.Fatal(err)
	}
	image, labels := o.Out+"/imagesTr/labelled_0000_0000.nii.gz", o.Out+"/labelsTr/labelled_0000.nii.gz"
	truth, before := readRAS(t, labels), 1.0
	for _, g := range grids {
		c := gridConfig(g.spacing, g.patch)
		p := prepared(t, c.Plan, image, labels)
		o := score.Options{Labels: c.Plan.Labels}
		for i := range o.Labels {
			o.Labels[i].Name = phantom.Names[i+1]
		}
		row, err := score.Case(truth, p.Restore(p.Labels), o)
		if err != nil {
			t.Fatal(err)
		}
		text, mean := "", 0.0
		for _, organ := range row.Organs {
			text += fmt.Sprintf(" %s %.1f/%.1f", organ.Name, 100*organ.DSC, 100*organ.NSD)
			mean += organ.DSC / float64(len(row.Organs))
		}
		t.Logf("%s, spacing %v mm: mean DSC %.1f:%s", g.name, g.spacing, 100*mean, text)
		if mean >= before || mean < 0.5 {
			t.Errorf("%s: mean DSC %v, of a finer grid %v", g.name, mean, before)
		}
		before = mean
	}
}

func prepared(t *testing.T, p plan.Plan, image, labels string) *resample.Prepared {
	t.Helper()
	c, err := resample.Load(t.Context(), cases.Case{ID: "x", Set: cases.Labelled, Image: image, Labels: labels}, p, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTilesOfRealScans is TestTilesThatMatter on a real CT, whose labels are those of its
// upper slices. It says what would be left of the scans of FLARE 2022 if all patients
// had that body.
func TestTilesOfRealScans(t *testing.T) {
	folder := os.Getenv("NOISYSTUDENT_CT")
	if folder == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	geometries := flare(t, filepath.Join(folder, "flare22_1973_geometry.json.gz"))
	for _, g := range grids {
		c := gridConfig(g.spacing, g.patch)
		c.Plan.Ignore = 14
		p := prepared(t, c.Plan, filepath.Join(folder, "example_ct.nii.gz"), filepath.Join(folder, "example_labels13_ignore14.nii.gz"))
		t.Logf("%s: %+v", g.name, c.matter(t, p))
		body, _ := bodyBox(p.Image, p.Shape, c.Plan)
		var all, left int
		for _, scan := range geometries {
			var shape, cut [3]int
			for a := range 3 {
				shape[a] = int(math.Round(float64(scan.Shape[a]) * scan.Spacing[a] / g.spacing[a]))
				cut[a] = shape[a]
				if a > 0 {
					cut[a] = min(shape[a], max(body.Shape()[a], g.patch[a]))
				}
			}
			all, left = all+c.tiles(shape), left+c.tiles(cut)
		}
		t.Logf("%s: body of %.0f x %.0f mm: %d of %d tiles of %d scans", g.name,
			float64(body.Shape()[1])*g.spacing[1], float64(body.Shape()[2])*g.spacing[2], left, all, len(geometries))
	}
}

// geometry is a scan's grid, (z, y, x).
type geometry struct {
	Shape   [3]int     `json:"shape_zyx"`
	Spacing [3]float64 `json:"spacing_zyx"`
}

func flare(t *testing.T, file string) []geometry {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Cases []geometry `json:"cases"`
	}
	if err := json.NewDecoder(z).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all.Cases
}
