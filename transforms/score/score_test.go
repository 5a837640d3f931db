package score

import (
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// bruteNSD is the definition: every element of one surface against every element
// of the other.
func bruteNSD(ref, pred *mask, spacing [3]float64, toleranceMM float64) float64 {
	type element struct {
		at   [3]int
		area float64
	}
	table := areas(spacing)
	collect := func(m *mask) (out []element) {
		inside := func(z, y, x int) bool { return m.row(z, y)[x>>6]>>(uint(x)&63)&1 == 1 }
		for z := range m.size[0] + 1 {
			for y := range m.size[1] + 1 {
				for x := range m.size[2] + 1 {
					code := 0
					for k := range 8 {
						if inside(z+k>>2, y+k>>1&1, x+k&1) {
							code |= 1 << k
						}
					}
					if code != 0 && code != 255 {
						out = append(out, element{[3]int{z, y, x}, table[code]})
					}
				}
			}
		}
		return out
	}
	surfaces := [2][]element{collect(ref), collect(pred)}
	var near, all float64
	for i, s := range surfaces {
		for _, a := range s {
			all += a.area
			for _, b := range surfaces[1-i] {
				if distance(spacing, a.at[0]-b.at[0], a.at[1]-b.at[1], a.at[2]-b.at[2]) <= toleranceMM {
					near += a.area
					break
				}
			}
		}
	}
	return near / all
}

func randomMask(r *rand.Rand, size [3]int, density float64) *mask {
	data := make([]uint8, size[0]*size[1]*size[2])
	for i := range data {
		if r.Float64() < density {
			data[i] = 7
		}
	}
	g := grid{ref: data, pred: data, shape: size, ignore: -1}
	return maskOf(g, data, 7, volume.Whole(size))
}

func TestSurfaceDSCEqualsBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		size        [3]int
		spacing     [3]float64
		toleranceMM float64
	}{
		{[3]int{3, 4, 5}, [3]float64{1, 1, 1}, 1},
		{[3]int{2, 3, 62}, [3]float64{2.5, 0.8, 0.8}, 2},
		{[3]int{1, 1, 63}, [3]float64{2.5, 0.8, 0.8}, 5},
		{[3]int{3, 2, 64}, [3]float64{5, 0.7, 0.3}, 3},
		{[3]int{2, 2, 130}, [3]float64{1, 1, 0.4}, 40},
		{[3]int{1, 1, 1}, [3]float64{1, 1, 1}, 0},
		{[3]int{6, 5, 4}, [3]float64{1.1, 0.9, 1.3}, 1000},
	} {
		for range 20 {
			density := 0.02 + 0.5*r.Float64()*r.Float64()
			a, b := randomMask(r, c.size, density), randomMask(r, c.size, density)
			if a.volume()+b.volume() == 0 {
				continue
			}
			got, want := surfaceDSC(a, b, c.spacing, c.toleranceMM), bruteNSD(a, b, c.spacing, c.toleranceMM)
			if math.Abs(got-want) > 1e-12 {
				t.Errorf("size %v, spacing %v, %g mm: got %g, want %g", c.size, c.spacing, c.toleranceMM, got, want)
			}
			if back := surfaceDSC(b, a, c.spacing, c.toleranceMM); math.Abs(back-got) > 1e-12 {
				t.Errorf("size %v: not symmetric: %g and %g", c.size, got, back)
			}
			if a.volume() > 0 && surfaceDSC(a, a, c.spacing, 0) != 1 {
				t.Errorf("size %v: a mask differs from itself", c.size)
			}
		}
	}
}

func TestMaskBits(t *testing.T) {
	row := make([]uint8, 150)
	for i := range row {
		row[i] = uint8(i * 7 % 5)
	}
	g := grid{ref: row, pred: row, shape: [3]int{1, 1, len(row)}, ignore: -1}
	if got := randomMask(rand.New(rand.NewPCG(0, 0)), g.shape, 1).volume(); got != 150 {
		t.Errorf("full mask: got %d voxels, want 150", got)
	}
	for lo := range 12 {
		b := volume.Box{Lo: [3]int{0, 0, lo}, Hi: [3]int{1, 1, len(row) - lo}}
		m := maskOf(g, row, 3, b)
		for x := range b.Shape()[2] {
			if set := m.row(1, 1)[(x+1)>>6]>>(uint(x+1)&63)&1 == 1; set != (row[lo+x] == 3) {
				t.Errorf("box from %d: voxel %d is %v", lo, x, set)
			}
		}
	}
	if n := bits.OnesCount64(zeroBytes(0x0100_0001_8000_7f00)); n != 4 {
		t.Errorf("zero bytes: got %d, want 4", n)
	}
}

func TestVoxelsEqualNaiveCount(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	shape := [3]int{3, 5, 37}
	ref, pred := make([]uint8, 3*5*37), make([]uint8, 3*5*37)
	for i := range ref {
		ref[i], pred[i] = uint8(r.IntN(4)), uint8(r.IntN(3))
	}
	c := count(grid{ref: ref, pred: pred, shape: shape, ignore: 3})
	for label := range 3 {
		var want Voxels
		for i := range ref {
			switch a, b := int(ref[i]) == label, int(pred[i]) == label; {
			case ref[i] == 3:
			case a && b:
				want.TP++
			case a:
				want.FN++
			case b:
				want.FP++
			default:
				want.TN++
			}
		}
		if got := c.voxels(uint8(label), 3); got != want {
			t.Errorf("label %d: got %+v, want %+v", label, got, want)
		}
	}
}

// TestSides counts confusions of left and right, where the reference is not ignored.
func TestSides(t *testing.T) {
	g := volume.Geometry{Shape: [3]int{1, 2, 6}, Spacing: [3]float64{1, 1, 1}, Direction: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}
	ref := &volume.Labels{Geometry: g, Data: []uint8{1, 1, 1, 2, 2, 0, 3, 3, 9, 9, 0, 2}}
	pred := &volume.Labels{Geometry: g, Data: []uint8{1, 2, 2, 2, 1, 1, 1, 2, 1, 2, 2, 0}}
	labels := []cases.Label{{ID: 1, Name: "right_kidney"}, {ID: 2, Name: "Left kidney"}, {ID: 3, Name: "spleen"}}
	row, err := Case(ref, pred, Options{Labels: labels, Ignore: 9})
	if err != nil {
		t.Fatal(err)
	}
	got, paired := row.Sides()
	if want := (Sides{Voxels: 6, OtherSide: 3}); got != want || !paired {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if o := row.Organs; o[0].OtherSide != 2 || o[1].OtherSide != 1 || o[2].OtherSide != 0 || o[2].Paired {
		t.Errorf("organs %+v", o)
	}
	table, err := Tabulate([]Row{row, row})
	if want := "left-right confusions: 6 of 12 voxels of paired organs, 50.00 %"; err != nil || !strings.Contains(table.String(), want) {
		t.Errorf("no %q in\n%s", want, table)
	}
	row, err = Case(ref, pred, Options{Labels: labels[1:], Ignore: 9})
	if err != nil {
		t.Fatal(err)
	}
	if table, err = Tabulate([]Row{row}); err != nil || table.Sides != nil {
		t.Errorf("without a pair: %+v", table.Sides)
	}
}

// TestRules checks the cases where the three rule sets part.
func TestRules(t *testing.T) {
	shape, spacing := [3]int{4, 1, 10}, [3]float64{1, 1, 1}
	liver, aorta := []cases.Label{{ID: 1, Name: "liver"}}, []cases.Label{{ID: 5, Name: "Aorta"}}
	slab := func(label uint8, at ...[2]int) []uint8 { // slice, voxels of it
		data := make([]uint8, 40)
		for _, s := range at {
			for x := range s[1] {
				data[10*s[0]+x] = label
			}
		}
		return data
	}
	for _, c := range []struct {
		name      string
		labels    []cases.Label
		ref, pred []uint8
		rules     Rules
		want      Organ
	}{
		{"absent in both", liver, slab(1), slab(1), FLARE22, Organ{Scored: true, DSC: 1, NSD: 1}},
		{"absent in both", liver, slab(1), slab(1), NNUNet, Organ{}},
		{"missed", liver, slab(1, [2]int{1, 3}), slab(1), FLARE22, Organ{Scored: true}},
		{"invented", liver, slab(1), slab(1, [2]int{1, 3}), NNUNet, Organ{Scored: true}},
		{"hopeless but near", liver, slab(1, [2]int{1, 1}), slab(1, [2]int{1, 10}), FLARE22, Organ{Scored: true, DSC: 2. / 11, NSD: 0.66}},
		{"hopeless but near", liver, slab(1, [2]int{1, 1}), slab(1, [2]int{1, 10}), FLARE2024, Organ{Scored: true, DSC: 2. / 11}},
		{"tubular, top slice wrong", aorta, slab(5, [2]int{1, 4}, [2]int{2, 4}), slab(5, [2]int{1, 4}), FLARE22, Organ{Scored: true, DSC: 1, NSD: 1}},
		{"tubular, beyond the reference", aorta, slab(5, [2]int{1, 4}, [2]int{2, 4}), slab(5, [2]int{0, 9}, [2]int{1, 4}, [2]int{3, 9}), FLARE22, Organ{Scored: true, DSC: 1, NSD: 1}},
		{"tubular, whole", aorta, slab(5, [2]int{1, 4}, [2]int{2, 4}), slab(5, [2]int{1, 4}), NNUNet, Organ{Scored: true, DSC: 2. / 3, NSD: 1}},
		{"tubular, one slice", aorta, slab(5, [2]int{2, 4}), slab(5, [2]int{2, 4}, [2]int{3, 4}), FLARE22, Organ{Scored: true, DSC: 1, NSD: 1, OneSlice: true}},
	} {
		row, err := Case(labelsOf(shape, spacing, c.ref), labelsOf(shape, spacing, c.pred), Options{Labels: c.labels, Rules: c.rules})
		if err != nil {
			t.Fatal(err)
		}
		got := row.Organs[0]
		if got.Scored != c.want.Scored || got.OneSlice != c.want.OneSlice || math.Abs(got.DSC-c.want.DSC) > 1e-12 || math.Abs(got.NSD-c.want.NSD) > 0.1 {
			t.Errorf("%s by %s: got %+v, want %+v", c.name, c.rules, got, c.want)
		}
	}
}

func TestIgnoredVoxelsCountNowhere(t *testing.T) {
	shape, spacing := [3]int{2, 1, 12}, [3]float64{1, 1, 1}
	ref := []uint8{1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}
	pred := []uint8{1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 9, 9, 9}
	row, err := Case(labelsOf(shape, spacing, ref), labelsOf(shape, spacing, pred), Options{Labels: []cases.Label{{ID: 1, Name: "liver"}}, Ignore: 9, ToleranceMM: map[string]float64{"liver": 0}})
	if err != nil {
		t.Fatal(err)
	}
	if s := row.Organs[0]; s.DSC != 1 || s.NSD != 1 || row.Ignored != 12 || s.Voxels != (Voxels{TP: 3, TN: 9}) {
		t.Errorf("got %+v, %d ignored", s, row.Ignored)
	}
}

func TestCaseRefuses(t *testing.T) {
	shape := [3]int{1, 2, 2}
	good := labelsOf(shape, [3]float64{1, 1, 1}, make([]uint8, 4))
	shifted := labelsOf(shape, [3]float64{1, 1, 1}, make([]uint8, 4))
	shifted.Origin[0] = 5
	liver := Options{Labels: []cases.Label{{ID: 1, Name: "liver"}}}
	var grids *GridError
	if _, err := Case(good, labelsOf([3]int{2, 2, 1}, [3]float64{1, 1, 1}, make([]uint8, 4)), liver); !errors.As(err, &grids) {
		t.Errorf("other shape: got %v", err)
	}
	if _, err := Case(good, shifted, liver); !errors.As(err, &grids) || !strings.Contains(err.Error(), "from [5 0 0]") {
		t.Errorf("other origin: got %v", err)
	}
	if _, err := Case(good, labelsOf(shape, [3]float64{1, 1, 1}, nil), liver); !errors.As(err, &grids) {
		t.Errorf("no voxels: got %v", err)
	}
	for name, o := range map[string]Options{
		"no labels":    {},
		"background":   {Labels: []cases.Label{{ID: 0, Name: "background"}}},
		"ignore label": {Labels: []cases.Label{{ID: 3, Name: "x"}}, Ignore: 3},
		"tolerance":    {Labels: []cases.Label{{ID: 1, Name: "x"}}, ToleranceMM: map[string]float64{"x": math.NaN()}},
		"rules":        {Labels: []cases.Label{{ID: 1, Name: "x"}}, Rules: "flare99"},
	} {
		if _, err := Case(good, good, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
