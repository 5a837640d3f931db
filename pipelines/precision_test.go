package pipelines

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"noisystudent/transforms/fit"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/plan"
)

// TestAutoPrecision asks for auto with a teacher whose fold has validation cases, on
// a device with and without bf16.
func TestAutoPrecision(t *testing.T) {
	folder := t.TempDir()
	log := &notes{}
	o := tinyOptions(filepath.Join(folder, "cohort"), filepath.Join(folder, "store"), log)
	tinyCohort(t, o.Dataset, 3, 1, 0, 0)
	if _, err := Train(t.Context(), o, fit.Teacher, []int{0}); err != nil {
		t.Fatal(err)
	}
	log.take()
	o.Precision = auto
	open := func(dataset, half bool) *run {
		t.Helper()
		r, err := openPredict(t.Context(), o, PredictRequest{Input: "i", Output: "o"})
		if dataset {
			if r, err = openDataset(t.Context(), o); err == nil {
				err = r.needPlan(t.Context())
			}
			if err == nil {
				_, err = r.needTeachers(t.Context(), []int{0})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		r.networks = networks{device: "this CPU", train: 1 << 20, infer: 1 << 20}
		if half {
			r.networks.reduced = []string{plan.BF16}
		}
		return r
	}
	const key = "models/teacher/fold_0/precision.json"
	for _, c := range []struct {
		name          string
		dataset, half bool
		before        func(r *run)
		want, said    string
	}{
		{"without bf16", true, false, func(*run) {}, plan.FP32, "this CPU has no bf16"},
		{"nothing known", false, true, func(*run) {}, plan.FP32, "no validation cases to try bf16 on"},
		{"tried", true, true, func(*run) {}, plan.BF16, "in fp32 on 2 validation cases, a change of "},
		{"known", false, true, func(*run) {}, plan.BF16, "it labels in bf16"},
		{"too much", false, true, func(r *run) {
			var tried trial
			_, err := r.readJSON(t.Context(), key, &tried)
			tried.setHalf(plan.BF16, tried.FP32-0.0011)
			if err == nil {
				err = writeJSON(t.Context(), r.store, key, tried)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, plan.FP32, "a change of -0.0011; it labels in fp32"},
	} {
		r := open(c.dataset, c.half)
		c.before(r)
		m, err := r.modelOf(t.Context(), fit.Teacher, 0)
		if err != nil {
			t.Fatal(err)
		}
		config, err := r.config(t.Context(), []model{m}, 1)
		if lines := strings.Join(log.take(), "\n"); err != nil || config.Plan.Inference.Precision != c.want || !strings.Contains(lines, c.said) {
			t.Errorf("%s: labels in %s, %v, want %s; said\n%s", c.name, config.Plan.Inference.Precision, err, c.want, lines)
		}
	}
}

// TestTrial tells precisions apart, also in files that know bf16 alone, and takes no
// half-precision labels from a file that knows neither.
func TestTrial(t *testing.T) {
	for text, want := range map[string]string{
		`{"digest":"d","cases":2,"fp32_dsc":0.5,"bf16_dsc":0.5005}`: "DSC 0.5005 in bf16, 0.5000 in fp32 on 2 validation cases, a change of +0.0005; it labels in bf16",
		`{"digest":"d","cases":2,"fp32_dsc":0.5,"fp16_dsc":0.4995}`: "DSC 0.4995 in fp16, 0.5000 in fp32 on 2 validation cases, a change of -0.0005; it labels in fp16",
		`{"digest":"d","cases":2,"fp32_dsc":0,"fp16_dsc":0}`:        "it labels in fp16",
		`{"digest":"d","cases":2,"fp32_dsc":0.5,"fp16_dsc":0.3}`:    "it labels in fp32",
		`{"digest":"d","cases":2,"fp32_dsc":0}`:                     "it labels in fp32",
	} {
		var tried trial
		if err := json.Unmarshal([]byte(text), &tried); err != nil || !strings.HasSuffix(tried.String(), want) {
			t.Errorf("%s: %v, %q", text, err, tried)
		}
	}
}

// TestNoHalf asks for bf16 where the device has none.
func TestNoHalf(t *testing.T) {
	log := &notes{}
	r := &run{Options: Options{Device: "ref", Threads: 1}, progress: log}
	r.plan = fittest.Plan()
	r.plan.Training.Precision = plan.BF16
	for range 2 {
		if _, err := r.measured(); err != nil {
			t.Fatal(err)
		}
	}
	if lines := log.take(); len(lines) != 1 || !strings.Contains(lines[0], "has no bf16 and computes in fp32") {
		t.Errorf("%q", lines)
	}
}

// TestRemarks has each kind of device.
func TestRemarks(t *testing.T) {
	bf16, fp16 := fittest.Plan(), fittest.Plan()
	bf16.Training.Precision, fp16.Inference.Precision = plan.BF16, plan.FP16
	mixed, fp32 := fittest.Plan(), fittest.Plan()
	mixed.Training.Precision, mixed.Inference.Precision = plan.Mixed, plan.Mixed
	fp32.Training.Precision, fp32.Inference.Precision = plan.Mixed, plan.FP32
	for _, c := range []struct {
		networks networks
		plan     plan.Plan
		forced   bool
		want     int
	}{
		{networks{device: "cpu avx512, 2 threads", reduced: []string{plan.BF16}}, bf16, false, 0},
		{networks{device: "cpu avx512, 2 threads", reduced: []string{plan.BF16}}, fp16, false, 1},
		{networks{device: "cuda:0", reduced: []string{plan.FP16, plan.BF16}}, fp16, false, 0},
		{networks{device: "cuda:0", reduced: []string{plan.FP16, plan.BF16}, onCard: true}, mixed, false, 0},
		{networks{device: "cuda:0", reduced: []string{plan.FP16, plan.BF16}, onCard: true}, fp32, false, 1},
		{networks{device: "cuda:0", reduced: []string{plan.FP16, plan.BF16}, onCard: true}, fittest.Plan(), false, 1},
		{networks{device: "cpu avx2, 2 threads"}, mixed, false, 0},
		{networks{device: "cpu avx2, 2 threads"}, fp32, false, 0},
		{networks{device: "cpu avx2, 2 threads"}, bf16, false, 1},
		{networks{device: "cpu avx2, 2 threads"}, fittest.Plan(), false, 0},
		{networks{device: "cpu generic, 2 threads"}, fittest.Plan(), false, 1},
		{networks{device: "cpu generic, 2 threads"}, fittest.Plan(), true, 0},
		{networks{device: "cpu generic, 2 threads"}, bf16, false, 2},
	} {
		if got := c.networks.remarks(c.plan, c.forced); len(got) != c.want {
			t.Errorf("%+v, forced %v: %q", c.networks, c.forced, got)
		}
	}
}
