package predict

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/transforms/beamtest"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
	"noisystudent/transforms/shard"
)

func TestMain(m *testing.M) { beamtest.Main(m) }

// scans writes four good scans, one cut short, and one that is not there.
func scans(t *testing.T) []cases.Case {
	t.Helper()
	folder := t.TempDir()
	var list []cases.Case
	for k := range 5 {
		list = append(list, fittest.File(t, folder, fmt.Sprintf("case%d", k), k, 1+float64(k)/10))
	}
	data, err := os.ReadFile(list[1].Image)
	if err == nil {
		err = os.WriteFile(list[1].Image, data[:len(data)/2], 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(list, cases.Case{ID: "gone", Image: filepath.Join(folder, "gone_0000.nii.gz")})
}

// dealt makes elements of scans.
func dealt(s beam.Scope, list []cases.Case, shards int) beam.PCollection {
	var texts []string
	for _, one := range shard.Apart(shard.Deal(list, make([]float64, len(list)), shards)) {
		text, err := json.Marshal(one)
		if err != nil {
			panic(err)
		}
		texts = append(texts, string(text))
	}
	return beam.CreateList(s, texts)
}

// submit runs the transform and expects what it must give for scans.
func submit(t *testing.T, c Config, list []cases.Case) {
	t.Helper()
	p, s := beam.NewPipelineWithRoot()
	done, rejected := Scans(s, c, dealt(s, list, 2))
	passert.Equals(s, done, "case0", "case2", "case3", "case4")
	passert.Equals(s, beam.ParDo(s, reason, rejected), "case1 truncated", "gone missing-file")
	ptest.RunAndValidate(t, p)
}

func reason(r cases.Rejected) string { return r.Case + " " + string(r.Reason) }

func init() { beam.RegisterFunction(reason) }

func TestScansUnderPrism(t *testing.T) {
	st, c := ready(t, 2)
	c.Output, c.Options.Networks = t.TempDir(), 2
	list := scans(t)
	submit(t, c, list)
	rows, err := manifest.Rows(t.Context(), st, c.Stage())
	if err != nil || len(rows) != 6 || rows["case1"].Reason != cases.Truncated || rows["gone"].Reason != cases.Missing {
		t.Errorf("ledger %+v, %v", rows, err)
	}
	for _, id := range []string{"case0", "case2", "case3", "case4"} {
		if got := readRAS(t, filepath.Join(c.Output, id+".nii.gz")); got.Shape != [3]int{12, 16, 14} {
			t.Errorf("%s: labels on %v", id, got.Geometry)
		}
		if rows[id].Outcome != manifest.Done {
			t.Errorf("%s: %+v", id, rows[id])
		}
	}
	// Repeated, the same answers are given and nothing is computed: there are no weights.
	before := contents(t, st)
	for m := range c.Models {
		if err := st.Remove(t.Context(), c.Models[m].Weights); err != nil {
			t.Fatal(err)
		}
	}
	clear(weights.models)
	submit(t, c, list)
	if after := contents(t, st); !slices.Equal(before, after) {
		t.Errorf("the second run changed the store:\n%v\n%v", before, after)
	}
}

// counters runs the transform and gives Beam's counters and distributions' sums.
func counters(t *testing.T, c Config, list []cases.Case) map[string]int64 {
	t.Helper()
	p, s := beam.NewPipelineWithRoot()
	done, _ := Scans(s, c, dealt(s, list, 2))
	passert.Count(s, done, "done", 4)
	result, err := prism.Execute(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	all := result.Metrics().AllMetrics()
	for _, c := range all.Counters() {
		if c.Namespace() == "predict" {
			found[c.Name()] += c.Result()
		}
	}
	for _, d := range all.Distributions() {
		if d.Namespace() == "predict" {
			found[d.Name()] += d.Result().Sum
			found[d.Name()+".count"] += d.Result().Count
		}
	}
	return found
}

// The second run over unchanged scans computes nothing, by the metrics of the runner.
func TestMetrics(t *testing.T) {
	_, c := ready(t, 1)
	list := scans(t)
	var bytes int64
	for i, scan := range list {
		if info, err := os.Stat(scan.Image); err == nil && i != 1 {
			bytes += info.Size()
		}
	}
	first, again := counters(t, c, list), counters(t, c, list)
	if first[metrics.Cases] != 4 || first[metrics.Standing] != 0 || first[metrics.Rejected] != 2 || first["rejected.truncated"] != 1 || first["rejected.missing-file"] != 1 {
		t.Errorf("first %v", first)
	}
	if first[metrics.Forwards] < 4 || first["milliseconds.count"] != 5 || first[metrics.Bytes] <= bytes {
		t.Errorf("first %v; the good scans have %d bytes", first, bytes)
	}
	e, err := engine.Open(engine.Options{Device: c.Options.Device, Threads: c.Options.Threads})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if device := metrics.Device + "." + e.Name(); first[device] != 4 || again[device] != 0 {
		t.Errorf("%s: first %d, again %d, want 4 and 0 in %v", device, first[device], again[device], first)
	}
	if again[metrics.Cases] != 4 || again[metrics.Standing] != 4 || again[metrics.Forwards] != 0 || again["milliseconds.count"] != 0 {
		t.Errorf("again %v", again)
	}
}

// contents lists the predictions with their generations.
func contents(t *testing.T, st *store.Store) (out []string) {
	t.Helper()
	infos, err := st.List(t.Context(), "predictions/")
	if err != nil || len(infos) == 0 {
		t.Fatal(infos, err)
	}
	for _, i := range infos {
		out = append(out, fmt.Sprint(i.Key, i.Generation))
	}
	return out
}

// Many scans at once, few networks, little memory: all are labelled as alone.
func TestScansDoNotDisturbOneAnother(t *testing.T) {
	folder := t.TempDir()
	var list []cases.Case
	for k := range 12 {
		list = append(list, fittest.File(t, folder, fmt.Sprintf("case%d", k), k, 1))
	}
	alone, c := ready(t, 3)
	for _, scan := range list {
		if _, err := Scan(t.Context(), alone, c, scan); err != nil {
			t.Fatal(err)
		}
	}
	together, c := ready(t, 3)
	c.Options.Networks, c.Options.Memory = 2, 200<<20
	p, s := beam.NewPipelineWithRoot()
	done, _ := Scans(s, c, dealt(s, list, 5))
	passert.Count(s, done, "done", len(list))
	ptest.RunAndValidate(t, p)
	for _, scan := range list {
		a, err := alone.Read(t.Context(), c.Key(scan.ID))
		b, err2 := together.Read(t.Context(), c.Key(scan.ID))
		if err != nil || err2 != nil || !slices.Equal(a, b) {
			t.Errorf("%s: %d and %d bytes, %v, %v", scan.ID, len(a), len(b), err, err2)
		}
	}
}
