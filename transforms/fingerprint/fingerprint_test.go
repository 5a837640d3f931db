package fingerprint

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/model/random"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
)

var scheme = cases.Scheme{Classes: 3, Ignore: 3}

// scan is a made-up case with a border of zeros, two organs and a slice to ignore.
func scan(seed uint64) (*volume.Volume, *volume.Labels) {
	g := volume.Geometry{Shape: [3]int{6, 8, 10}, Spacing: [3]float64{2.5, 0.75, 0.75}, Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}}}
	v := &volume.Volume{Geometry: g, Data: make([]float32, g.Voxels())}
	l := &volume.Labels{Geometry: g, Data: make([]uint8, g.Voxels())}
	s := random.New(seed)
	for i := range v.Data {
		z, y, x := i/80, i/10%8, i%10
		if y == 0 || x > 7 {
			continue // zero: outside the scanner's view
		}
		v.Data[i] = float32(s.IntN(300)) - 100.5 + 0.5
		switch {
		case z == 5:
			l.Data[i] = 3 // ignore
		case x < 2:
			l.Data[i] = 1
		case x == 5 && y == 4:
			l.Data[i] = 2
		}
	}
	v.Data[(0*8+1)*10] = 40 // the box begins here whatever was drawn
	return v, l
}

func options() Options { return Options{Scheme: scheme, Samples: 2000, Seed: 5} }

func TestMeasure(t *testing.T) {
	v, l := scan(1)
	f := Measure("a", v, l, options())
	want := []Case{{ID: "a", Shape: [3]int{6, 7, 8}, Spacing: v.Spacing, RelativeSize: 6 * 7 * 8 / 480.0, LabelVoxels: []int64{5*56 - 75, 70, 5}}}
	if d := cmp.Diff(want, f.Cases); d != "" {
		t.Errorf("case (-want +got)\n%s", d)
	}
	if f.Histogram.Total() != 2000 {
		t.Errorf("%d samples", f.Histogram.Total())
	}
	foreground := map[float32]bool{}
	for i, class := range l.Data {
		if class == 1 || class == 2 {
			foreground[v.Data[i]] = true
		}
	}
	for _, value := range f.Histogram.Values {
		if !foreground[value] {
			t.Errorf("%v HU is in no foreground voxel", value)
		}
	}
	if d := cmp.Diff(f, Measure("a", v, l, options())); d != "" {
		t.Errorf("a second time (-first +second)\n%s", d)
	}
	if cmp.Equal(f.Histogram, Measure("b", v, l, options()).Histogram) {
		t.Error("another case drew the same samples")
	}
}

// Raised together with version when Measure gives other bytes.
func TestMeasureGolden(t *testing.T) {
	v, l := scan(1)
	const want = "e0f6a23fcb629def74f1d3fca39b563389d611b9e02d99db9c061efce681f55e"
	if got := manifest.Digest(version, Measure("a", v, l, options())); got != want {
		t.Errorf("the facts of a case have changed: raise version and set the digest to %s", got)
	}
}

func TestCaseWithoutForeground(t *testing.T) {
	v, l := scan(1)
	clear(l.Data)
	f := Measure("a", v, l, options())
	if f.Histogram.Total() != 0 || f.Cases[0].LabelVoxels[0] != 6*7*8 {
		t.Errorf("%+v", f)
	}
	if _, err := Summarise(f, "ras"); err == nil || !strings.Contains(err.Error(), "no case has a labelled foreground voxel") {
		t.Errorf("error %v", err)
	}
	if _, err := Summarise(Facts{}, "ras"); err == nil || !strings.Contains(err.Error(), "no labelled case") {
		t.Errorf("error %v", err)
	}
}

// The bytes of fingerprint.json do not depend on the order of merging.
func TestSummaryIsTheSameInAnyOrder(t *testing.T) {
	var parts []Facts
	for i := range uint64(7) {
		v, l := scan(i)
		if i%2 == 1 {
			for j := range v.Data {
				v.Data[j] *= 1.37 // raw floats
			}
		}
		parts = append(parts, Measure(string(rune('a'+i)), v, l, options()))
	}
	var want []byte
	s := random.New(3)
	for range 30 {
		order := s.Perm(len(parts))
		left, right := Facts{}, Facts{}
		cut := s.IntN(len(parts))
		for i, j := range order {
			if i < cut {
				left = left.Merge(parts[j])
			} else {
				right = parts[j].Merge(right)
			}
		}
		summary, err := Summarise(left.Merge(right), "ras")
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(summary)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = text
		}
		if !bytes.Equal(want, text) {
			t.Fatalf("order %v gives\n%s\nnot\n%s", order, text, want)
		}
	}
}

// Many draws from a case come near the statistics of all its foreground voxels.
func TestSamplesFollowTheForeground(t *testing.T) {
	v, l := scan(1)
	o := options()
	o.Samples = 1_000_000
	f := Measure("a", v, l, o)
	var all []float32
	for i, class := range l.Data {
		if class == 1 || class == 2 {
			all = append(all, v.Data[i])
		}
	}
	exact := histogram(all...)
	mean, sd := exact.Moments()
	gotMean, gotSD := f.Histogram.Moments()
	if limit := 5 * sd / 1000; math.Abs(gotMean-mean) > limit || math.Abs(gotSD-sd) > limit {
		t.Errorf("mean %v, sd %v; all voxels have %v, %v", gotMean, gotSD, mean, sd)
	}
}

// put writes a case's files and returns the case.
func put(t *testing.T, st *store.Store, id string, v *volume.Volume, l *volume.Labels) cases.Case {
	t.Helper()
	var image, labels bytes.Buffer
	if err := nifti.WriteVolume(&image, v, nifti.NewFrame(v.Geometry), nifti.Float32); err != nil {
		t.Fatal(err)
	}
	if err := nifti.WriteLabels(&labels, l, nifti.NewFrame(l.Geometry)); err != nil {
		t.Fatal(err)
	}
	for key, data := range map[string][]byte{"imagesTr/" + id + "_0000.nii.gz": image.Bytes(), "labelsTr/" + id + ".nii.gz": labels.Bytes()} {
		if err := st.Write(context.Background(), key, data); err != nil {
			t.Fatal(err)
		}
	}
	return cases.Case{ID: id, Set: cases.Labelled, Image: st.Address("imagesTr/" + id + "_0000.nii.gz"), Labels: st.Address("labelsTr/" + id + ".nii.gz")}
}

func open(t *testing.T, root string) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestProcess(t *testing.T) {
	ctx := context.Background()
	st := open(t, "mem://fingerprint-process")
	v, l := scan(1)
	c := put(t, st, "a", v, l)
	config := Config{Store: st.Root(), Orientation: "ras", Options: options()}
	first, row, err := Process(ctx, st, c, config)
	if err != nil || row.Outcome != manifest.Done {
		t.Fatalf("row %+v, error %v", row, err)
	}
	reads := 0
	counted := store.WithFault(st, func(op, key string) error {
		if strings.HasPrefix(key, "images") {
			reads++
		}
		return nil
	})
	again, _, err := Process(ctx, counted, c, config)
	if d := cmp.Diff(first, again); err != nil || d != "" || reads != 0 {
		t.Errorf("from the ledger: error %v, %d reads of the scan (-first +second)\n%s", err, reads, d)
	}
	config.BudgetBytes = 100
	config.Options.Seed++ // other facts, so that the ledger does not answer
	_, row, err = Process(ctx, st, c, config)
	if err != nil || row.Reason != cases.TooLarge {
		t.Errorf("over the budget: row %+v, error %v", row, err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	ctx := context.Background()
	st := open(t, "mem://fingerprint-save")
	if _, err := Load(ctx, st); err == nil || !strings.Contains(err.Error(), "noisystudent plan") {
		t.Errorf("without a file: %v", err)
	}
	v, l := scan(1)
	f, err := Summarise(Measure("a", v, l, options()), "ras")
	if err != nil {
		t.Fatal(err)
	}
	if err := Save(ctx, st, f); err != nil {
		t.Fatal(err)
	}
	back, err := Load(ctx, st)
	if d := cmp.Diff(f, back); err != nil || d != "" {
		t.Errorf("error %v (-saved +loaded)\n%s", err, d)
	}
}

// nnU-Net draws 10e7 voxels of a data set, shared out among its cases.
func TestTotalSamples(t *testing.T) {
	if TotalSamples != 10e7 {
		t.Errorf("%d samples", TotalSamples)
	}
}

// The intensities of a plain ramp, 0 to 1000 HU, are known without a computer.
func TestIntensityOfARamp(t *testing.T) {
	var h Histogram
	for v := range 1001 {
		h.add(float32(v), 1)
	}
	got := intensity(h)
	want := Intensity{Max: 1000, Mean: 500, Median: 500, P005: 5, P995: 995, SD: math.Sqrt((1001*1001 - 1) / 12.0)}
	if d := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); d != "" {
		t.Errorf("intensity (-want +got)\n%s", d)
	}
}
