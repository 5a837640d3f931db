package augment

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/model/random"
	"noisystudent/transforms/cases"
)

// The paper's tables, typed again from it: a changed constant fails here.
func TestTables(t *testing.T) {
	type row struct {
		p, lo, hi float64
	}
	want := map[string][]row{
		"teacher": {{.2, -30, 30}, {.2, .7, 1.4}, {.1, 0, .1}, {.2, .5, 1}, {.15, .75, 1.25}, {.15, .75, 1.25}, {.25, .5, 1}, {.1, .7, 1.5}},
		"student": {{.2, -30, 30}, {.2, .7, 1.4}, {.15, 0, .1}, {.2, .5, 1.5}, {.15, .7, 1.3}, {.15, .65, 1.5}, {.25, .5, 1}, {.15, .7, 1.5}},
		"nnunet":  {{.2, -30, 30}, {.2, .7, 1.4}, {.1, 0, .1}, {.2, .5, 1}, {.15, .75, 1.25}, {.15, .75, 1.25}, {.25, .5, 1}, {.1, .7, 1.5}, {.3, .7, 1.5}},
	}
	for name, rows := range want {
		table, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []row
		for _, e := range []Effect{table.Rotation, table.Scaling, table.Noise, table.Blur, table.Brightness, table.Contrast, table.LowRes} {
			got = append(got, row{e.P, e.Lo, e.Hi})
		}
		for i, g := range table.Gamma {
			got = append(got, row{g.P, g.Lo, g.Hi})
			if g.Invert != (name == "nnunet" && i == 0) {
				t.Errorf("%s: gamma %d inverted: %v", name, i, g.Invert)
			}
		}
		if !slices.Equal(got, rows) {
			t.Errorf("%s: %v, want %v", name, got, rows)
		}
		if table.BlurChannel != .5 || table.LowResChannel != .5 || table.Mirror.Axes != [3]bool{true, true, true} {
			t.Errorf("%s: per-channel probabilities %v %v, mirror %v", name, table.BlurChannel, table.LowResChannel, table.Mirror.Axes)
		}
	}
	if _, err := Lookup("strong"); err == nil {
		t.Error("an unknown table is found")
	}
}

// How often each transform is drawn, and that parameters stay in range.
func TestDrawFollowsTheTable(t *testing.T) {
	table, _ := Lookup("student")
	const n = 40_000
	var count [11]float64
	root := random.New(5)
	for i := range n {
		p := Draw(root.Child(uint64(i)), table)
		for k, on := range []bool{
			p.Angles != [3]float64{}, p.Scale != 0, p.NoiseSD != 0, p.BlurSigma != [3]float64{}, p.Brightness != 0,
			p.Contrast != 0, p.LowRes != 0, len(p.Gamma) > 0, p.Flip[0], p.Flip[1], p.Flip[2],
		} {
			if on {
				count[k]++
			}
		}
		for _, a := range p.Angles {
			if math.Abs(a) > math.Pi/6 {
				t.Fatalf("angle %v", a)
			}
		}
		if s := p.Scale; s != 0 && (s < 0.7 || s > 1.4) || p.NoiseSD < 0 || p.NoiseSD > 0.1 {
			t.Fatalf("parameters %+v", p)
		}
	}
	want := [11]float64{.2, .2, .15, .1, .15, .15, .125, .15, .5, .5, .5}
	for k, c := range count {
		if math.Abs(c/n-want[k]) > 0.01 {
			t.Errorf("transform %d drawn with probability %.3f, want %.3f", k, c/n, want[k])
		}
	}
}

func TestDrawNone(t *testing.T) {
	table, _ := Lookup("none")
	for i := range 100 {
		if d := cmp.Diff(Params{}, Draw(random.New(uint64(i)), table)); d != "" {
			t.Fatal(d)
		}
	}
}

// Parameters survive JSON, and the replayed patch has the same bytes.
func TestReplay(t *testing.T) {
	f := read(t)
	table, _ := Lookup("nnunet")
	for i := range 40 {
		p := Draw(random.New(9, uint64(i)), table)
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Params
		if err := json.Unmarshal(data, &q); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, q); d != "" {
			t.Fatal(d)
		}
		a, b := f.apply(t, p), f.apply(t, q)
		if !slices.Equal(a.Image, b.Image) || !slices.Equal(a.Labels, b.Labels) {
			t.Fatalf("replay of %s differs", data)
		}
	}
}

func TestNoise(t *testing.T) {
	v := make([]float32, 200_000)
	addNoise(v, 0.08, 3)
	mean, sd := moments(v)
	if math.Abs(mean) > 0.001 || math.Abs(sd-0.08) > 0.0005 {
		t.Errorf("noise has mean %.5f and SD %.5f, want 0 and 0.08", mean, sd)
	}
	var kurtosis float64
	for _, x := range v {
		kurtosis += math.Pow(float64(x)/sd, 4) / float64(len(v))
	}
	if math.Abs(kurtosis-3) > 0.1 {
		t.Errorf("noise has kurtosis %.3f, want a normal distribution's 3", kurtosis)
	}
}

var flare = []cases.Label{{ID: 1, Name: "liver"}, {ID: 2, Name: "right_kidney"}, {ID: 3, Name: "spleen"}, {ID: 7, Name: "Right adrenal gland"}, {ID: 8, Name: "left adrenal gland"}, {ID: 13, Name: "left_kidney"}}

func TestWithMirror(t *testing.T) {
	table, _ := Lookup("teacher")
	for _, c := range []struct {
		mode, orientation string
		want              Mirror
		wrong             bool
	}{
		{mode: "plain", orientation: "stored", want: allAxes},
		{mode: "laterality", orientation: "ras", want: Mirror{Axes: allAxes.Axes, Pairs: [][2]uint8{{2, 13}, {7, 8}}}},
		{mode: "laterality", orientation: "stored", wrong: true},
		{mode: "left-right", orientation: "ras", want: Mirror{Axes: [3]bool{false, false, true}, Pairs: [][2]uint8{{2, 13}, {7, 8}}}},
		{mode: "left-right", orientation: "stored", wrong: true},
		{mode: "none", orientation: "ras"},
		{mode: "sideways", orientation: "ras", wrong: true},
	} {
		got, err := table.WithMirror(c.mode, c.orientation, flare)
		if (err != nil) != c.wrong {
			t.Errorf("%s: error %v", c.mode, err)
		}
		if d := cmp.Diff(c.want, got.Mirror); d != "" {
			t.Errorf("%s: %s", c.mode, d)
		}
	}
}

// Exchanging the labels of a flipped patch keeps the set of labels and the number
// of voxels of each pair together, and twice is nothing.
func TestLateralityAwareFlip(t *testing.T) {
	f := read(t)
	plain := f.apply(t, Params{})
	p := Params{Flip: [3]bool{false, false, true}, Swap: [][2]uint8{{1, 2}, {5, 7}}}
	got := f.apply(t, p)
	var before, after [256]int
	for i, v := range plain.Labels {
		before[v]++
		after[got.Labels[i]]++
	}
	for _, pair := range p.Swap {
		before[pair[0]], before[pair[1]] = before[pair[1]], before[pair[0]]
	}
	if before != after {
		t.Errorf("voxels per label %v, want %v", after[:8], before[:8])
	}
	mirror(got, p.Flip, p.Swap)
	if !slices.Equal(got.Labels, plain.Labels) || !slices.Equal(got.Image, plain.Image) {
		t.Error("flipping twice changes the patch")
	}
	// A table with pairs exchanges them exactly when x is flipped.
	table, _ := Lookup("teacher")
	table, _ = table.WithMirror("laterality", "ras", flare)
	for i := range 50 {
		if p := Draw(random.New(uint64(i)), table); (len(p.Swap) > 0) != p.Flip[2] {
			t.Fatalf("flip %v swaps %v", p.Flip, p.Swap)
		}
	}
}

func TestCropOutsideTheCase(t *testing.T) {
	src := memory{[3]int{2, 3, 4}, make([]float32, 24), make([]uint8, 24)}
	for i := range src.image {
		src.image[i], src.labels[i] = float32(i+1), 1
	}
	for _, corner := range [][3]int{{0, 0, 0}, {-1, -2, -3}, {1, 1, 1}, {5, 0, 0}, {0, 0, -9}, {-4, 7, 2}} {
		for _, p := range []Params{{}, {Scale: 1.0000001}} {
			dst := Patch{[3]int{3, 3, 5}, make([]float32, 45), make([]uint8, 45)}
			var s Scratch
			if err := s.Apply(t.Context(), p, src, corner, dst); err != nil {
				t.Fatal(err)
			}
			for i := range dst.Image {
				z, y, x := corner[0]+i/15, corner[1]+i/5%3, corner[2]+i%5
				want := float32(0)
				if z >= 0 && z < 2 && y >= 0 && y < 3 && x >= 0 && x < 4 {
					want = float32((z*3+y)*4 + x + 1)
				}
				if math.Abs(float64(dst.Image[i]-want)) > 1e-4 || (dst.Labels[i] == 1) != (want > 0) {
					t.Fatalf("corner %v, voxel %d: image %g, label %d, want %g", corner, i, dst.Image[i], dst.Labels[i], want)
				}
			}
		}
	}
}

// A turned patch inside a large case sees tissue in its corners: a case that is 1
// everywhere gives a patch that is 1 everywhere.
func TestCornersAreTissue(t *testing.T) {
	src := memory{[3]int{40, 40, 40}, make([]float32, 64000), make([]uint8, 64000)}
	for i := range src.image {
		src.image[i], src.labels[i] = 1, 4
	}
	dst := Patch{[3]int{8, 12, 10}, make([]float32, 960), make([]uint8, 960)}
	var s Scratch
	p := Params{Angles: [3]float64{.5, -.4, .3}, Scale: 1.4}
	if err := s.Apply(t.Context(), p, src, [3]int{16, 14, 15}, dst); err != nil {
		t.Fatal(err)
	}
	for i, v := range dst.Image {
		if math.Abs(float64(v)-1) > 1e-6 || dst.Labels[i] != 4 {
			t.Fatalf("voxel %d: image %g, label %d", i, v, dst.Labels[i])
		}
	}
}

type broken struct{ memory }

var errBroken = errors.New("shard 3 is gone")

func (broken) ReadLabels(context.Context, [3]int, [3]int, []uint8) error { return errBroken }

func TestApplyErrors(t *testing.T) {
	f := read(t)
	var s Scratch
	n := f.Patch[0] * f.Patch[1] * f.Patch[2]
	dst := Patch{f.Patch, make([]float32, n), make([]uint8, n)}
	for _, p := range []Params{{}, {Scale: 1.2}} {
		if err := s.Apply(t.Context(), p, broken{f.source()}, f.Corner, dst); !errors.Is(err, errBroken) {
			t.Errorf("error %v, want the source's", err)
		}
	}
	dst.Image = dst.Image[1:]
	if err := s.Apply(t.Context(), Params{}, f.source(), f.Corner, dst); err == nil {
		t.Error("a patch with too few voxels is accepted")
	}
}

func TestPow(t *testing.T) {
	for _, e := range []float32{0.7, 0.93, 1, 1.2, 1.5} {
		for i := range 5000 {
			x := float32(math.Pow(10, -7*float64(i)/5000))
			want := math.Pow(float64(x), float64(e))
			if got := float64(pow(x, e)); math.Abs(got/want-1) > 4e-6 || math.Abs(got-want) > 3e-7 {
				t.Fatalf("%g to the power %g is %g, want %g", x, e, got, want)
			}
		}
	}
	if pow(0, 0.7) != 0 {
		t.Error("0 to a power is not 0")
	}
}

// One patch of the paper's size with every transform on, from a case of 110 slices.
func BenchmarkApply(b *testing.B) {
	shape := [3]int{110, 400, 400}
	src := memory{shape, make([]float32, shape[0]*shape[1]*shape[2]), make([]uint8, shape[0]*shape[1]*shape[2])}
	s := random.New(1)
	for i := range src.image {
		src.image[i] = float32(s.Float64())
		src.labels[i] = uint8(i / 37 % 400 / 40)
	}
	patch := [3]int{40, 224, 192}
	dst := Patch{patch, make([]float32, patch[0]*patch[1]*patch[2]), make([]uint8, patch[0]*patch[1]*patch[2])}
	turn := Params{Angles: [3]float64{.4, .3, -.5}, Scale: 1.2}
	all := Params{
		Angles: turn.Angles, Scale: 1.2, NoiseSD: .05, NoiseSeed: 4, BlurSigma: [3]float64{1.4, 1.4, 1.4}, Brightness: 1.2,
		Contrast: 1.2, LowRes: .6, Gamma: []Gamma{{.8, true}, {1.3, false}}, Flip: [3]bool{true, true, true},
	}
	for _, c := range []struct {
		name string
		p    Params
	}{
		{"crop", Params{}},
		{"turn", turn},
		{"noise", Params{NoiseSD: .05, NoiseSeed: 4}},
		{"blur", Params{BlurSigma: all.BlurSigma}},
		{"low", Params{LowRes: .6}},
		{"gamma", Params{Gamma: all.Gamma[:1]}},
		{"all", all},
	} {
		b.Run(c.name, func(b *testing.B) {
			var scratch Scratch
			b.ReportAllocs()
			for b.Loop() {
				if err := scratch.Apply(b.Context(), c.p, src, [3]int{30, 90, 100}, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
