package phantom

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/model/random"
)

func count(l *volume.Labels) (n [classes]int) {
	for _, v := range l.Data {
		n[v]++
	}
	return n
}

// Every full view holds all 13 organs, at the smallest grid and at a finer one.
func TestAllOrgansInFullViews(t *testing.T) {
	for i := range 12 {
		o := Options{Out: "mem://x", Labelled: 30, Seed: 3}
		if i == 0 {
			o.Shape, o.Spacing = [3]int{40, 96, 128}, [3]float64{5, 2.5, 2.5}
		}
		for label, n := range count(o.scan(Task{"labelled", i}, nil).labels) {
			if n < 5 {
				t.Errorf("case %d: %d voxels of %s", i, n, Names[label])
			}
		}
	}
}

// Organs have the HU of a CT: every organ's mean lies between its plain value and a
// full dose of contrast, give or take what the domain adds; gas and bone exist.
func TestHounsfield(t *testing.T) {
	o := Options{Out: "mem://x", Labelled: 30, Test: 30, Seed: 4, Shifted: true}
	for _, set := range []string{"labelled", "test"} {
		for i := range 4 {
			c := o.scan(Task{set, i}, nil)
			var sum [classes]float64
			var n [classes]float64
			lo, hi := float32(0), float32(0)
			for k, l := range c.labels.Data {
				v := c.image.Data[k]
				lo, hi = min(lo, v), max(hi, v)
				sum[l] += float64(v)
				n[l]++
			}
			if lo < -1024 || lo > -900 || hi < 250 || hi > 1500 {
				t.Errorf("%s %d: HU from %v to %v", set, i, lo, hi)
			}
			for l := 1; l < classes; l++ {
				hollow := uint8(l) == stomach || uint8(l) == duodenum || uint8(l) == esophagus
				most := math.Max(portal[l], arterial[l])
				if mean := sum[l] / n[l]; n[l] > 30 && !hollow && (mean < plainHU[l]-80 || mean > plainHU[l]+most+60) {
					t.Errorf("%s %d: mean of %s is %.0f HU", set, i, Names[l], mean)
				}
			}
		}
	}
}

// Thresholds cannot find the organs: within a scan, muscle and bowel cover the HU of
// liver, spleen and pancreas.
func TestOrgansOverlapBackground(t *testing.T) {
	c := Options{Out: "mem://x", Labelled: 1, Seed: 5}.scan(Task{"labelled", 0}, nil)
	var organ, background float64
	for i, l := range c.labels.Data {
		if v := c.image.Data[i]; v > 20 && v < 110 {
			switch l {
			case 0:
				background++
			case liver, spleen, pancreas:
				organ++
			}
		}
	}
	if background < organ/2 {
		t.Errorf("%.0f background voxels in the HU of %.0f organ voxels", background, organ)
	}
}

// The shifted domain differs where it should: noise.
func TestShiftedDomainIsNoisier(t *testing.T) {
	noise := func(set string) float64 {
		o := Options{Out: "mem://x", Labelled: 10, Test: 10, Seed: 6, Shifted: true}
		sum := 0.0
		for i := range 5 {
			c := o.scan(Task{set, i}, nil)
			var d, n float64
			for k := 1; k < len(c.labels.Data); k++ {
				if c.labels.Data[k] == liver && c.labels.Data[k-1] == liver {
					d += math.Pow(float64(c.image.Data[k]-c.image.Data[k-1]), 2)
					n++
				}
			}
			sum += math.Sqrt(d / n)
		}
		return sum / 5
	}
	if a, b := noise("labelled"), noise("test"); b < 1.2*a {
		t.Errorf("noise between neighbours is %.1f HU in source and %.1f in shifted", a, b)
	}
}

// files reads a whole cohort.
func files(t *testing.T, root string) map[string][]byte {
	t.Helper()
	st, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	list, err := st.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, f := range list {
		if all[f.Key], err = st.Read(t.Context(), f.Key); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func small(out string) Options {
	return Options{Out: out, Labelled: 2, Unlabelled: 3, Test: 2, Seed: 8, Shifted: true, Corrupt: 1, Shape: [3]int{10, 24, 32}, Spacing: [3]float64{9, 10, 10}}
}

// A cohort has the raw layout, and made again in another order by more workers its
// files have the same bytes; another seed gives others.
func TestCohort(t *testing.T) {
	for out, workers := range map[string]int{"mem://cohort-a": 1, "mem://cohort-b": 3} {
		if err := Generate(t.Context(), small(out), workers); err != nil {
			t.Fatal(err)
		}
	}
	a, b := files(t, "mem://cohort-a"), files(t, "mem://cohort-b")
	var names []string
	for name := range a {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{
		"dataset.json",
		"imagesTr/labelled_0000_0000.nii.gz", "imagesTr/labelled_0001_0000.nii.gz",
		"imagesTs/test_0000_0000.nii.gz", "imagesTs/test_0001_0000.nii.gz",
		"imagesUn/unlabelled_0000_0000.nii.gz", "imagesUn/unlabelled_0001_0000.nii.gz", "imagesUn/unlabelled_0002_0000.nii.gz",
		"labelsTr/labelled_0000.nii.gz", "labelsTr/labelled_0001.nii.gz", "labelsTs/test_0000.nii.gz", "labelsTs/test_0001.nii.gz",
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Fatal(d)
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs between one and three workers", name)
		}
	}
	o := small("mem://cohort-c")
	o.Seed++
	if err := Generate(t.Context(), o, 2); err != nil {
		t.Fatal(err)
	}
	for name, data := range files(t, o.Out) {
		if name != "dataset.json" && bytes.Equal(data, a[name]) {
			t.Errorf("%s does not depend on the seed", name)
		}
	}
}

// A cohort's figures can be repeated only on the same cohort. If this fails on
// purpose, raise version and put the new digest here.
func TestGoldenCohort(t *testing.T) {
	h := sha256.New()
	o := small("mem://golden")
	for _, task := range o.Tasks() {
		c := o.scan(task, nil)
		for _, v := range c.image.Data {
			_ = binary.Write(h, binary.LittleEndian, int16(math.Round(float64(v))))
		}
		h.Write(c.labels.Data)
	}
	if got, want := fmt.Sprintf("%d %x", version, h.Sum(nil)[:8]), "1 0e72b6f290236142"; got != want {
		t.Errorf("the cohort changed: %s, want %s", got, want)
	}
}

// Axes makes all files alike; they differ otherwise.
func TestAxes(t *testing.T) {
	o := small("mem://axes")
	o.Unlabelled = 12
	seen := map[string]bool{}
	for _, task := range o.Tasks() {
		seen[o.scan(task, nil).axes] = true
	}
	if len(seen) < 4 {
		t.Errorf("files are stored as %v only", seen)
	}
	o.Axes = "LPI"
	for _, task := range o.Tasks() {
		if got := o.scan(task, nil).axes; got != "LPI" {
			t.Errorf("%s is stored as %s", task.ID(), got)
		}
	}
}

func TestFilesCanBeRead(t *testing.T) {
	o := small("mem://cohort-read")
	if err := Generate(t.Context(), o, 2); err != nil {
		t.Fatal(err)
	}
	all := files(t, o.Out)
	for name, data := range all {
		switch {
		case name == "imagesUn/unlabelled_0002_0000.nii.gz":
			if _, _, err := nifti.Read(bytes.NewReader(data), nifti.Options{}); err == nil {
				t.Errorf("%s is meant to be corrupt and is not", name)
			}
		case strings.HasPrefix(name, "images"):
			v, _, err := nifti.Read(bytes.NewReader(data), nifti.Options{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if v.Direction != upright {
				t.Errorf("%s: directions %v", name, v.Direction)
			}
		case strings.HasPrefix(name, "labels"):
			l, _, err := nifti.ReadLabels(bytes.NewReader(data), nifti.Options{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			image := strings.Replace(strings.Replace(name, "labels", "images", 1), ".nii.gz", "_0000.nii.gz", 1)
			v, _, err := nifti.Read(bytes.NewReader(all[image]), nifti.Options{})
			if err != nil || !v.SameGrid(l.Geometry, 1e-3) {
				t.Errorf("%s and its image have different grids (%v)", name, err)
			}
		}
	}
	var d dataset
	if err := json.Unmarshal(all["dataset.json"], &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Labels) != classes || d.Labels["left_kidney"] != 13 || d.NumTraining != 2 || d.ChannelNames["0"] != "CT" {
		t.Errorf("dataset.json: %+v", d)
	}
}

func TestCheck(t *testing.T) {
	good := Options{Out: "mem://x", Labelled: 1}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no folder": func(o *Options) { o.Out = "" }, "no cases": func(o *Options) { o.Labelled = 0 }, "negative": func(o *Options) { o.Test = -1 },
		"more corrupt than there are": func(o *Options) { o.Corrupt = 1 }, "a CT without labels": func(o *Options) { o.CT = "ct.nii.gz" },
		"huge": func(o *Options) { o.Shape = [3]int{1 << 30, 1 << 30, 1 << 30} }, "flat": func(o *Options) { o.Shape = [3]int{1, 40, 40} },
		"no axes":    func(o *Options) { o.Axes = "LPX" },
		"no spacing": func(o *Options) { o.Spacing = [3]float64{math.NaN(), 1, 1} },
	} {
		o := good
		change(&o)
		if o.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := Make(t.Context(), o, Task{"labelled", 0}); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "imagesTr"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := small(dir)
	if err := Generate(t.Context(), o, 2); err == nil || !strings.Contains(err.Error(), "imagesTr") {
		t.Errorf("error %v, want one that names the folder", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Generate(ctx, small("mem://cancelled"), 2); err == nil {
		t.Error("a cancelled context makes a cohort")
	}
}

// A cohort deformed from one scan: a phantom plays the real one.
func TestDeformedCohort(t *testing.T) {
	o := Options{Out: "mem://base", Labelled: 1, Seed: 2, Shape: [3]int{30, 60, 80}, Spacing: [3]float64{4, 4, 4}}
	if err := Generate(t.Context(), o, 1); err != nil {
		t.Fatal(err)
	}
	d := small("mem://deformed")
	d.Labelled, d.Unlabelled, d.Test, d.Corrupt = 1, 1, 1, 0
	d.CT, d.Labels = "mem://base/imagesTr/labelled_0000_0000.nii.gz", "mem://base/labelsTr/labelled_0000.nii.gz"
	d.Shape, d.Spacing = [3]int{22, 46, 62}, [3]float64{5, 5, 5}
	b, err := loadBase(t.Context(), d.CT, d.Labels)
	if err != nil {
		t.Fatal(err)
	}
	want := count(b.labels)
	ratio := 125 / (b.image.VoxelML() * 1000)
	for i := range 2 {
		got := count(d.scan(Task{"labelled", i}, b).labels)
		for _, l := range []uint8{liver, spleen, stomach, leftKidney} {
			if r := float64(got[l]) * ratio / float64(want[l]); r < 0.4 || r > 2 {
				t.Errorf("case %d: %s has %.2f times the base's volume", i, Names[l], r)
			}
		}
	}
	if err := Generate(t.Context(), d, 2); err != nil {
		t.Fatal(err)
	}
	first := files(t, d.Out)
	if err := Generate(t.Context(), d, 1); err != nil {
		t.Fatal(err)
	}
	for name, data := range files(t, d.Out) {
		if !bytes.Equal(data, first[name]) {
			t.Errorf("%s differs when it is made again", name)
		}
	}
}

func TestDeformedCohortFromRealCT(t *testing.T) {
	dir := os.Getenv("NOISYSTUDENT_CT")
	if dir == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	b, err := loadBase(t.Context(), filepath.Join(dir, "example_ct_upper30.nii.gz"), filepath.Join(dir, "example_labels13_upper30.nii.gz"))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Out: "mem://x", Labelled: 4, Test: 4, Shifted: true}
	for _, task := range o.Tasks() {
		for l, n := range count(o.scan(task, b).labels) {
			if n < 5 && uint8(l) != esophagus { // not in the base's view
				t.Errorf("%s: %d voxels of %s", task.ID(), n, Names[l])
			}
		}
	}
}

// No deformation at all gives the base back.
func TestSampleIdentity(t *testing.T) {
	c := Options{Out: "mem://x", Labelled: 1}.scan(Task{"labelled", 0}, nil)
	b := &base{image: c.image, labels: c.labels}
	for i := 0; i < len(c.labels.Data); i += 7 {
		v, l := b.sample(b.image.Data, b.place(i))
		if math.Abs(float64(v-c.image.Data[i])) > 1e-3 || l != c.labels.Data[i] {
			t.Fatalf("voxel %d: %v and label %d, want %v and %d", i, v, l, c.image.Data[i], c.labels.Data[i])
		}
	}
}

func TestBadBase(t *testing.T) {
	ctx := t.Context()
	o := small("mem://bad-base")
	if err := Generate(ctx, o, 1); err != nil {
		t.Fatal(err)
	}
	ct, labels := "mem://bad-base/imagesTr/labelled_0000_0000.nii.gz", "mem://bad-base/labelsTs/test_0000.nii.gz"
	for name, pair := range map[string][2]string{
		"other grid": {ct, labels}, "missing": {"mem://bad-base/no.nii.gz", labels}, "labels are an image": {ct, ct},
		"corrupt": {"mem://bad-base/imagesUn/unlabelled_0002_0000.nii.gz", labels},
	} {
		if _, err := loadBase(ctx, pair[0], pair[1]); err == nil || !strings.HasPrefix(err.Error(), "phantom: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A field has mean 0, SD 1, and is as smooth as its knots are far apart.
func TestField(t *testing.T) {
	shape := [3]int{40, 60, 60}
	var sum, squares, slope, n float64
	for i := range 8 {
		f := newField(random.New(uint64(i)), shape, [3]float64{5, 5, 5})
		plane := make([]float32, shape[1]*shape[2])
		for z := range shape[0] {
			f.plane(z, plane)
			for k, v := range plane {
				sum += float64(v)
				squares += float64(v) * float64(v)
				n++
				if k%shape[2] > 0 {
					slope += math.Pow(float64(v-plane[k-1]), 2)
				}
			}
		}
	}
	mean, sd := sum/n, math.Sqrt(squares/n)
	if math.Abs(mean) > 0.1 || math.Abs(sd-1) > 0.07 {
		t.Errorf("field has mean %.3f and SD %.3f, want 0 and 1", mean, sd)
	}
	// the slope of cubic B-splines: sqrt(2/3 over 151/315) a knot
	if s, want := math.Sqrt(slope/n), math.Sqrt(2./3/(151./315))/5; math.Abs(s/want-1) > 0.1 {
		t.Errorf("slope %.3f a voxel, want %.3f", s, want)
	}
}

func TestShapes(t *testing.T) {
	for name, s := range map[string]shape{
		"ellipsoid": newEllipsoid(point{5, -3, 8}, point{20, 7, 12}, point{20, -35, 50}),
		"tube":      tube{flat: 0.8, knots: []knot{{point{0, 0, 0}, 5}, {point{20, 10, -5}, 9}, {point{20, 30, 10}, 3}}},
	} {
		lo, hi := s.bounds()
		r := random.New(3)
		inside := 0
		for range 20000 {
			p := point{r.Uniform(-60, 60), r.Uniform(-60, 60), r.Uniform(-60, 60)}
			if !s.holds(p) {
				continue
			}
			inside++
			for c := range 3 {
				if p[c] < lo[c]-1e-9 || p[c] > hi[c]+1e-9 {
					t.Fatalf("%s: %v is inside and out of its bounds", name, p)
				}
			}
		}
		if inside == 0 {
			t.Errorf("%s is empty", name)
		}
	}
}

// gauss keeps a constant, and spreads a point to the variance asked for.
func TestGauss(t *testing.T) {
	shape := [3]int{15, 17, 19}
	v := make([]float32, 15*17*19)
	for i := range v {
		v[i] = 3
	}
	v[(7*17+8)*19+9] += 1000
	gauss(v, shape, 1.1)
	var sum, variance [3]float64
	for i, x := range v {
		for a, d := range [3]int{i/19/17 - 7, i/19%17 - 8, i%19 - 9} {
			sum[a] += float64(x) - 3
			variance[a] += (float64(x) - 3) * float64(d*d)
		}
	}
	for a := range 3 {
		if math.Abs(sum[a]-1000) > 0.1 || math.Abs(variance[a]/1000-1.21) > 0.03 {
			t.Errorf("axis %d: sum %.2f, variance %.3f; want 1000 and 1.21", a, sum[a], variance[a]/1000)
		}
	}
}
