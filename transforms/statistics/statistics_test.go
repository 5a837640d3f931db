package statistics

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// grid is axes (superior, anterior, right), spacing 2, 1, 0.5 mm.
func grid(shape [3]int) volume.Geometry {
	return volume.Geometry{
		Shape: shape, Spacing: [3]float64{2, 1, 0.5}, Origin: [3]float64{10, 20, 30},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
	}
}

var names = []cases.Label{{ID: 1, Name: "right kidney"}, {ID: 2, Name: "left kidney"}, {ID: 3, Name: "spleen"}}

// byDefinition measures a label voxel by voxel, its pieces by flooding.
func byDefinition(image []float32, labels []uint8, g volume.Geometry, label uint8) Organ {
	o := Organ{Label: int(label)}
	var hu []float64
	o.Box.Lo = g.Shape
	at := func(z, y, x int) int { return (z*g.Shape[1]+y)*g.Shape[2] + x }
	seen := make([]bool, len(labels))
	var sizes []int64
	var flood func(z, y, x int) int64
	flood = func(z, y, x int) int64 {
		if z < 0 || y < 0 || x < 0 || z >= g.Shape[0] || y >= g.Shape[1] || x >= g.Shape[2] || labels[at(z, y, x)] != label || seen[at(z, y, x)] {
			return 0
		}
		seen[at(z, y, x)] = true
		n := int64(1)
		for k := range 27 {
			n += flood(z+k/9-1, y+k/3%3-1, x+k%3-1)
		}
		return n
	}
	for z := range g.Shape[0] {
		for y := range g.Shape[1] {
			for x := range g.Shape[2] {
				if labels[at(z, y, x)] != label {
					continue
				}
				hu = append(hu, float64(image[at(z, y, x)]))
				for a, v := range [3]int{z, y, x} {
					o.Box.Lo[a], o.Box.Hi[a] = min(o.Box.Lo[a], v), max(o.Box.Hi[a], v+1)
					o.CentroidMM[2-a] += float64(v) * g.Spacing[a]
				}
				if n := flood(z, y, x); n > 0 {
					sizes = append(sizes, n)
				}
			}
		}
	}
	if len(hu) == 0 {
		return Organ{Label: int(label)}
	}
	n := float64(len(hu))
	o.Voxels, o.VolumeML, o.Pieces = int64(len(hu)), n/1000, len(sizes)
	for a := range 3 {
		o.CentroidMM[a] = g.Origin[a] + o.CentroidMM[a]/n
	}
	for _, v := range hu {
		o.MeanHU += v / n
	}
	for _, v := range hu {
		o.SDHU += (v - o.MeanHU) * (v - o.MeanHU) / n
	}
	o.SDHU = math.Sqrt(o.SDHU)
	if slices.Sort(sizes); len(sizes) > 1 {
		o.SecondML = float64(sizes[len(sizes)-2]) / 1000
	}
	return o
}

func TestMeasureByDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		shape := [3]int{1 + random.IntN(6), 1 + random.IntN(7), 1 + random.IntN(9)}
		g := grid(shape)
		image, labels := make([]float32, g.Voxels()), make([]uint8, g.Voxels())
		for i := range labels {
			image[i] = float32(random.IntN(3000) - 1000)
			if random.IntN(1+round%4) == 0 {
				labels[i] = uint8(random.IntN(4))
			}
		}
		row, err := Measure(&volume.Volume{Geometry: g, Data: image}, &volume.Labels{Geometry: g, Data: labels}, names)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range row.Organs {
			want := byDefinition(image, labels, g, uint8(i+1))
			want.Name = names[i].Name
			if diff := cmp.Diff(want, o, cmpopts.IgnoreFields(Organ{}, "Touches"), cmpopts.EquateApprox(1e-9, 1e-9)); diff != "" {
				t.Fatalf("round %d, %v, %s:\n%s", round, shape, o.Name, diff)
			}
		}
	}
}

// The same scan stored with other axes touches the same faces.
func TestTouchesInAnyOrientation(t *testing.T) {
	g := grid([3]int{4, 5, 6})
	b := volume.Box{Lo: [3]int{0, 1, 3}, Hi: [3]int{3, 4, 6}}
	want := []string{"inferior", "right"}
	if got := touches(g, b); !slices.Equal(got, want) {
		t.Errorf("touches %v, want %v", got, want)
	}
	// Stored axes (right to left, foot to head, front to back).
	turned := volume.Geometry{Shape: [3]int{6, 4, 5}, Spacing: [3]float64{0.5, 2, 1}, Direction: [3][3]float64{{-1, 0, 0}, {0, 0, 1}, {0, -1, 0}}}
	if got := touches(turned, volume.Box{Lo: [3]int{0, 0, 1}, Hi: [3]int{3, 3, 4}}); !slices.Equal(got, want) {
		t.Errorf("turned, it touches %v, want %v", got, want)
	}
}

// patient has kidneys of 4x4x4 voxels, left and right, and a spleen above them.
func patient(t *testing.T, change func(labels []uint8, put func(label uint8, z, y, x, size int))) Row {
	t.Helper()
	g := grid([3]int{40, 20, 60})
	labels := make([]uint8, g.Voxels())
	put := func(label uint8, z, y, x, size int) {
		for k := range size * size * size {
			labels[((z+k/size/size)*20+y+k/size%size)*60+x+k%size] = label
		}
	}
	put(1, 10, 5, 40, 4)
	put(2, 10, 5, 10, 4)
	put(3, 20, 8, 12, 6)
	if change != nil {
		change(labels, put)
	}
	row, err := Measure(&volume.Volume{Geometry: g, Data: make([]float32, len(labels))}, &volume.Labels{Geometry: g, Data: labels}, names)
	if err != nil {
		t.Fatal(err)
	}
	row.Case = "patient"
	return row
}

func TestFlags(t *testing.T) {
	ref, err := ReferenceOf([]Row{patient(t, nil), patient(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	erase := func(labels []uint8, label uint8) {
		for i, l := range labels {
			if l == label {
				labels[i] = 0
			}
		}
	}
	type put = func(label uint8, z, y, x, size int)
	for _, c := range []struct {
		name   string
		change func([]uint8, put)
		want   []string
	}{
		{"as usual", nil, nil},
		{"no spleen", func(l []uint8, _ put) { erase(l, 3) }, []string{"spleen missing"}},
		{"the spleen would lie above the scan", func(l []uint8, p put) {
			erase(l, 1)
			erase(l, 2)
			erase(l, 3)
			p(1, 30, 5, 40, 4)
			p(2, 30, 5, 10, 4)
		}, nil},
		{"a small kidney", func(l []uint8, p put) { erase(l, 2); p(2, 10, 5, 10, 3) }, []string{"left kidney small"}},
		{"a kidney cut off by the scan is not small", func(l []uint8, p put) { erase(l, 2); p(2, 0, 5, 10, 3) }, nil},
		{"a large kidney", func(l []uint8, p put) { p(2, 10, 5, 10, 5) }, []string{"left kidney large"}},
		{"sides exchanged", func(l []uint8, p put) { erase(l, 1); erase(l, 2); p(2, 10, 5, 40, 4); p(1, 10, 5, 10, 4) }, []string{"left kidney left-right"}},
		{"two pieces", func(l []uint8, p put) { p(3, 30, 0, 50, 3) }, []string{"spleen several-pieces"}},
		{"a speck", func(l []uint8, p put) { p(3, 30, 0, 50, 1) }, nil},
	} {
		var got []string
		for _, f := range Flags(patient(t, c.change), &ref) {
			got = append(got, f.Organ+" "+string(f.Kind))
			if f.Message == "" || f.Case != "patient" {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := Flags(patient(t, func(l []uint8, _ put) { erase(l, 3) }), nil); got != nil {
		t.Errorf("without a reference: %v", got)
	}
}

func TestTables(t *testing.T) {
	a, b := patient(t, nil), patient(t, nil)
	a.Case, b.Case = "b", "a"
	lines := Lines([]Row{a, b}, []Flag{{Case: "a", Organ: "spleen", Kind: Missing}, {Case: "a", Organ: "spleen", Kind: Scattered}})
	if len(lines) != 6 || lines[0].Case != "a" || lines[2].Flags != "missing several-pieces" || lines[5].Flags != "" {
		t.Fatalf("lines %+v", lines)
	}
	data, err := Parquet(lines)
	if err != nil {
		t.Fatal(err)
	}
	back, err := parquet.Read[Line](bytes.NewReader(data), int64(len(data)))
	if err != nil || !reflect.DeepEqual(back, lines) {
		t.Errorf("parquet gives %+v, %v", back, err)
	}
	text, err := CSV(lines)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(rows) != 7 || len(strings.Split(rows[0], ",")) != reflect.TypeFor[Line]().NumField() {
		t.Fatalf("CSV:\n%s", text)
	}
	if want := fmt.Sprintf("a,3,spleen,216,%.3f,0.000,0.000,20,26,8,14,12,18,", 0.216); !strings.HasPrefix(rows[3], want) {
		t.Errorf("line %q, want %q", rows[3], want)
	}
	if again, err := Parquet(Lines([]Row{b, a}, nil)); err != nil || len(again) == 0 {
		t.Error(err)
	}
}
