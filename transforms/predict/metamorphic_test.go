package predict

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

// predicted labels scans at once and returns their files, one after the other.
func predicted(t *testing.T, st *store.Store, c Config, list ...cases.Case) []byte {
	t.Helper()
	var group sync.WaitGroup
	for _, scan := range list {
		group.Go(func() {
			if row, err := Scan(t.Context(), st, c, scan); err != nil || row.Outcome != manifest.Done {
				t.Errorf("%s: %+v, %v", scan.ID, row, err)
			}
		})
	}
	group.Wait()
	var all []byte
	for _, scan := range list {
		file, err := st.Read(t.Context(), c.Key(scan.ID))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file...)
	}
	return all
}

// TestMachineDoesNotShow holds the files of predictions to one another, byte for byte,
// whatever threads computed them and how many scans were in work at once.
func TestMachineDoesNotShow(t *testing.T) {
	folder := t.TempDir()
	var list []cases.Case
	for k := range 3 {
		list = append(list, fittest.File(t, folder, fmt.Sprint("case", k), k, 0.6+0.2*float64(k)))
	}
	for _, export := range []string{"labels", "probabilities"} {
		for _, mirror := range []string{"none", "x,z"} {
			var want []byte
			for _, machine := range []struct{ cores, threads, networks, together int }{{1, 1, 1, 1}, {5, 1, 3, 3}, {2, 3, 2, 3}, {3, 2, 1, 1}} {
				st, c := ready(t, 2)
				c.Plan.Inference.Export, c.Plan.Inference.Mirror, c.Plan.Inference.Precision = export, mirror, plan.FP32
				c.Options = Options{Device: "cpu", Threads: machine.threads, Networks: machine.networks}
				before := runtime.GOMAXPROCS(machine.cores)
				var got []byte
				for i := 0; i < len(list); i += machine.together {
					got = append(got, predicted(t, st, c, list[i:min(i+machine.together, len(list))]...)...)
				}
				runtime.GOMAXPROCS(before)
				if want == nil {
					want = got
				}
				if !bytes.Equal(got, want) {
					t.Errorf("export %s, mirror %s, %+v: other bytes", export, mirror, machine)
				}
			}
		}
	}
}

// TestSlabsDoNotShow labels the image that is prepared as a whole, at once, and expects the
// bytes that Scan writes, which prepares planes when tiles need them.
func TestSlabsDoNotShow(t *testing.T) {
	for _, scale := range []float64{0.6, 1, 1.3} { // the last is smaller than a tile
		st, c := ready(t, 2)
		scan := fittest.File(t, t.TempDir(), "x", 2, scale)
		got := predicted(t, st, c, scan)
		p, err := resample.Load(t.Context(), scan, c.Plan, 0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Labels(t.Context(), st, p.Image, p.Shape)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := nifti.WriteLabels(&want, p.Restore(r.Labels), p.Frame); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("scale %v, prepared %v: other bytes", scale, p.Shape)
		}
	}
}

// TestFootprintIsAdmitted: a scan begins where the memory is what its Footprint says, and is
// refused with that number where it is a byte less.
func TestFootprintIsAdmitted(t *testing.T) {
	scan := fittest.File(t, t.TempDir(), "x", 2, 1)
	st, c := ready(t, 2)
	g, frame, err := cases.ReadHeader(t.Context(), scan, c.Plan.Orientation)
	if err != nil {
		t.Fatal(err)
	}
	need := c.Footprint(g, frame).Bytes()
	c.Options.Memory = need - 1
	row, err := Scan(t.Context(), st, c, scan)
	if err != nil || row.Reason != cases.TooLarge || !bytes.Contains([]byte(row.Message), fmt.Append(nil, need, " bytes")) {
		t.Errorf("a byte less: %+v, %v", row, err)
	}
	c.Options.Memory = need
	if row, err = Scan(t.Context(), st, c, scan); err != nil || row.Outcome != manifest.Done {
		t.Errorf("enough: %+v, %v", row, err)
	}
}

// TestLongScanOn2GiB: 1,100 slices go with the paper's network into 2 GiB, but not two such
// scans at once, nor one with five teachers.
func TestLongScanOn2GiB(t *testing.T) {
	p := paperPlan(1)
	c := Config{Plan: p, Models: []ModelRef{{"weights", "one"}}}
	scan := cases.Case{ID: "long", Image: sparse(t, t.TempDir(), [3]int{1100, 512, 512}, [3]float64{1, 0.8, 0.8})}
	g, frame, err := cases.ReadHeader(t.Context(), scan, p.Orientation)
	if err != nil {
		t.Fatal(err)
	}
	one, network := c.Footprint(g, frame).Bytes(), arena(t, p)
	t.Logf("%v, network %d MiB", c.Footprint(g, frame), network>>20)
	if one+network > 2<<30 || 2*one < 2<<30 {
		t.Errorf("a scan takes %d MiB and its network %d", one>>20, network>>20)
	}
	c.Models = append(c.Models, c.Models[0], c.Models[0], c.Models[0], c.Models[0])
	if five := c.Footprint(g, frame).Bytes(); five < 2<<30 {
		t.Errorf("with five teachers %d MiB", five>>20)
	}
}
