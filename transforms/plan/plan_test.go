package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store"
	"noisystudent/transforms/fingerprint"
)

// small is the demo's kind of dataset: three cases of 18x48x64 voxels at 5 mm.
func small() fingerprint.Fingerprint {
	f := facts([][3]int{{18, 48, 64}, {18, 48, 64}, {17, 48, 60}}, [][3]float64{{5, 5, 5}, {5, 5, 5}, {5, 5, 5}})
	f.Orientation = "ras"
	f.LabelML = []float64{9000, 1000, 90, 0.9, 0}
	return f
}

func made(t *testing.T, o Options) Plan {
	t.Helper()
	p, err := Make(small(), dataset(5), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDemoPreset(t *testing.T) {
	p := made(t, Options{Preset: Demo, Seed: 7})
	if p.PatchSize != [3]int{16, 48, 64} || p.Spacing != [3]float64{5, 5, 5} || p.BatchSize != 1 || p.Network.Stages() != 4 {
		t.Errorf("patch %v, spacing %v, batch %d, %d stages", p.PatchSize, p.Spacing, p.BatchSize, p.Network.Stages())
	}
	if d := cmp.Diff([]int{8, 16, 32, 64}, p.Network.Features); d != "" {
		t.Errorf("features (-want +got)\n%s", d)
	}
	if d := cmp.Diff([]float64{1, 3, 10, 50, 1}, p.Training.ClassWeights); d != "" {
		t.Errorf("class weights (-want +got)\n%s", d)
	}
	if p.Training.Optimizer != "adamw" || p.Training.WarmupSteps != 30 || p.Training.Mirror != "none" || !p.Training.StudentAllLabels || p.Seed != 7 {
		t.Errorf("training %+v", p.Training)
	}
	if w := p.Warnings(); len(w) != 2 || !strings.Contains(w[0], "no labelled case has ") || !strings.Contains(w[1], "only 3 labelled cases") {
		t.Errorf("warnings %q", w)
	}
}

// TestSettingsOfThePaper holds what no other plan decides to the paper, and to nnU-Net
// where the paper says nothing: a preset's slip of the pen would train for days.
func TestSettingsOfThePaper(t *testing.T) {
	common := map[string]string{
		"training.folds": "5", "training.steps_per_epoch": "250",
		"training.teacher_epochs": "1000", "training.student_epochs": "1000", "training.finetune_epochs": "75",
		"training.optimizer": "sgd", "training.momentum": "0.99", "training.weight_decay": "0.00003", "training.clip_norm": "12",
		"training.initial_lr": "0.01", "training.finetune_lr": "0.01", "training.poly_exponent": "0.9", "training.warmup_steps": "0",
		"training.class_weights": "[]", "training.oversample_foreground": "0.33", "training.student_labelled_part": "0.25",
		"training.student_augment": "student", "training.mirror": "plain", "training.student_all_labels": "false", "training.weights_ema": "0",
		"inference.step_size": "0.5", "inference.blend": "logits", "inference.mirror": "none",
	}
	for preset, own := range map[string]map[string]string{
		Student:      {"training.teacher_augment": "teacher", "inference.export": "labels", "batch_size": "4"},
		LowFootprint: {"training.teacher_augment": "teacher", "inference.export": "probabilities", "batch_size": "4"},
		NNUNet:       {"training.teacher_augment": "nnunet", "inference.export": "probabilities", "batch_size": "2"},
	} {
		p := made(t, Options{Preset: preset})
		for _, want := range []map[string]string{common, own} {
			for path, value := range want {
				if got := Value(p, path); got != value {
					t.Errorf("%s: %s is %s, want %s", preset, path, got, value)
				}
			}
		}
	}
}

func TestOverrides(t *testing.T) {
	base := made(t, Options{Preset: Demo})
	for _, c := range []struct {
		set   string
		check func(p Plan) bool
	}{
		{"training.initial_lr=0.02", func(p Plan) bool { return p.Training.LearningRate == 0.02 }},
		{"patch_size=[8, 32,32]", func(p Plan) bool { return p.PatchSize == [3]int{8, 32, 32} && p.Network.Divisor() == [3]int{2, 8, 8} }},
		{"spacing=5,2.5,2.5", func(p Plan) bool { return p.Spacing[1] == 2.5 && p.Network.Strides[1] == [3]int{1, 2, 2} }},
		{"architecture.features_per_stage=4..12", func(p Plan) bool { return slices.Equal(p.Network.Features, []int{4, 8, 12, 12}) }},
		{"architecture.n_conv_per_stage=1,3..", func(p Plan) bool { return slices.Equal(p.Network.ConvsEncoder, []int{1, 3, 3, 3}) }},
		{"architecture.kernel_sizes=3x3x3..,3x1x3", func(p Plan) bool {
			return slices.Equal(p.Network.Kernels, [][3]int{{3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 1, 3}})
		}},
		{"architecture.n_conv_per_stage_decoder=3..,2,1", func(p Plan) bool { return slices.Equal(p.Network.ConvsDecoder, []int{3, 2, 1}) }},
		{"training.class_weights=1,2,3,4,5", func(p Plan) bool { return p.Training.ClassWeights[4] == 5 }},
		{"training.class_weights=frequency^-1", func(p Plan) bool { return p.Training.ClassWeights[1] == 9 }},
		{"training.class_weights=", func(p Plan) bool { return len(p.Training.ClassWeights) == 0 }},
		{"inference.mirror=x,y", func(p Plan) bool { return p.Inference.Mirror == "x,y" }},
		{"inference.keep_largest=c, a", func(p Plan) bool { return slices.Equal(p.KeptLargest(), []int{3, 1}) }},
		{"inference.tiles=region", func(p Plan) bool { return p.Inference.Tiles == RegionTiles }},
		{"training.student_all_labels=false", func(p Plan) bool { return !p.Training.StudentAllLabels }},
		{"batch_dice=true", func(p Plan) bool { return p.BatchDice }},
		{"foreground_intensity_properties.mean=1.5", func(p Plan) bool { return p.Intensity.Mean == 1.5 && p.Intensity.SD == base.Intensity.SD }},
		{"training.precision=fp16", func(p Plan) bool { return p.Training.Precision == FP16 }},
		{"training.precision=fp32", func(p Plan) bool { return p.Training.Precision == FP32 && p.Inference.Precision == Mixed }},
		{"training.precision=bf16", func(p Plan) bool { return p.Training.Precision == BF16 && p.Inference.Precision == Mixed }},
		{"inference.precision=exact", func(p Plan) bool { return p.Inference.Precision == Exact && p.Training.Precision == Mixed }},
		{"seed=9", func(p Plan) bool { return p.Seed == 9 }},
	} {
		set, err := Overrides([]string{c.set})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Make(small(), dataset(5), Options{Preset: Demo, Overrides: set})
		if err != nil || !c.check(p) {
			t.Errorf("%s: error %v, plan %+v", c.set, err, p)
		}
		path, _, _ := strings.Cut(c.set, "=")
		if p.reason(path) != "set by hand" {
			t.Errorf("%s: reason %q", c.set, p.reason(path))
		}
		if p.Digest() == base.Digest() {
			t.Errorf("%s: the digest is the old one", c.set)
		}
	}
}

func TestOverrideErrors(t *testing.T) {
	for set, want := range map[string]string{
		"training.initial_lrr=1":                      "no field \"training.initial_lrr\"",
		"initial_lr=1":                                "did you mean training.initial_lr?",
		"training=1":                                  "is a group of fields",
		"training.folds=five":                         "training.folds",
		"patch_size=16,48":                            "want 3 values, not 2",
		"patch_size=16,48,64,8":                       "want 3 values, not 4",
		"patch_size=15,48,64":                         "such as [16 48 64]",
		"patch_size=16,48,64.5":                       "patch_size",
		"training.initial_lr=null":                    "null is not a value",
		"training.initial_lr=-1":                      "training.initial_lr -1: want",
		"training.initial_lr=1 2":                     "more data after the end",
		"orientation=stored":                          "take it again",
		"training.precision=half":                     "want one of mixed, fp32, bf16, fp16, exact",
		"training.mirror=left":                        "want one of plain, laterality, left-right, none",
		"inference.mirror=x,x":                        "names an axis twice",
		"inference.keep_largest=a,nose":               "no label \"nose\"; the labels are a, b, c, d",
		"spacing=0,1,1":                               "spacing 0",
		"pseudo_labels.drop_part=1":                   "want 0 to 0.95",
		"pseudo_labels.min_organs=0.5":                "set pseudo_labels.drop_part",
		"pseudo_labels.max_change=0.5":                "set pseudo_labels.more_rounds",
		"pseudo_labels.max_deviation=-1":              "pseudo_labels.max_deviation -1",
		"architecture.features_per_stage=8..4":        "want two numbers",
		"architecture.n_conv_per_stage=1..,2..":       "want 4",
		"architecture.n_conv_per_stage=1..,2,2,2,2,2": "want 4 items",
		"architecture.n_conv_per_stage_decoder=two..": "want 3 items",
		"architecture.kernel_sizes=1x3,3x3x3..":       "want 4 items",
		"training.class_weights=frequency^2":          "want an exponent",
		"training.class_weights=1,2":                  "2 values, want none or 5",
		"architecture.strides=[[1,1,1],[2,2]]":        "architecture.strides[1]: want 3 values, not 2",
		"architecture.deep_supervision=perhaps":       "architecture.deep_supervision",
	} {
		overrides, err := Overrides([]string{set})
		if err == nil {
			_, err = Make(small(), dataset(5), Options{Preset: Demo, Overrides: overrides})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", set, err, want)
		}
	}
	for _, set := range []string{"batch_size", "=4", "", "bach_size=4", "batch_size=four", "patch_size=1,2", "training=1"} {
		if _, err := Overrides([]string{set}); err == nil {
			t.Errorf("setting %q was accepted", set)
		}
	}
}

// TestLaterality: flips that know left from right need both labels of a pair, and RAS.
func TestLaterality(t *testing.T) {
	f := small()
	f.Orientation = "ras"
	d := dataset(5)
	d.Labels[0].Name, d.Labels[1].Name = "right_kidney", "left_kidney"
	o := Options{Preset: Demo, Overrides: map[string]string{"training.mirror": "left-right"}}
	if _, err := Make(f, d, o); err != nil {
		t.Error(err)
	}
	d.Labels[1].Name = "left_lung"
	if _, err := Make(f, d, o); err == nil || !strings.Contains(err.Error(), "no label of the other side of right_kidney, left_lung") {
		t.Errorf("one-sided labels: %v", err)
	}
	f.Orientation = "stored"
	if _, err := Make(f, d, o); err == nil || !strings.Contains(err.Error(), "needs orientation ras") {
		t.Errorf("stored: %v", err)
	}
}

func TestMakeErrors(t *testing.T) {
	noCases, noHU, otherWay, odd := small(), small(), small(), small()
	noCases.Shapes = nil
	noHU.Intensity = nil
	otherWay.Orientation = "stored"
	odd.Spacings[0][1] = 0
	for _, c := range []struct {
		facts fingerprint.Fingerprint
		o     Options
		want  string
	}{
		{noCases, Options{}, "0 shapes and 3 spacings"},
		{noHU, Options{}, "no intensities"},
		{otherWay, Options{Orientation: "ras"}, "taken in stored"},
		{odd, Options{}, "spacing [5 0 5] mm"},
		{small(), Options{Preset: "huge"}, "there are demo, laptop, low-footprint, nnunet, student"},
	} {
		if _, err := Make(c.facts, dataset(5), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

func TestEveryFieldHasAReason(t *testing.T) {
	for _, preset := range Presets() {
		p := made(t, Options{Preset: preset})
		text := Explain(p)
		for _, l := range leaves(&p) {
			if p.reason(l.path) == "" {
				t.Errorf("%s: %s has no reason", preset, l.path)
			}
			if !strings.Contains(text, l.path) {
				t.Errorf("%s: %s is not explained", preset, l.path)
			}
		}
	}
}

// Every preset sets what exists and every field is decided by someone.
func TestPresetsNameFields(t *testing.T) {
	known := map[string]bool{}
	var p Plan
	for _, l := range leaves(&p) {
		known[l.path] = true
	}
	for name, list := range presets {
		for _, s := range slices.Concat(common, list) {
			if !known[s.path] || s.reason == "" {
				t.Errorf("%s: setting %+v", name, s)
			}
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	ctx := context.Background()
	st, err := store.Open(ctx, "mem://plan-save")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(ctx, st); err == nil || !strings.Contains(err.Error(), "noisystudent plan") {
		t.Errorf("without a file: %v", err)
	}
	p := made(t, Options{Preset: Demo})
	if err := Save(ctx, st, p); err != nil {
		t.Fatal(err)
	}
	back, err := Load(ctx, st)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, back); d != "" {
		t.Errorf("plan (-saved +loaded)\n%s", d)
	}
	splits := Splits([]string{"c", "a", "b"}, 5, SplitSeed)
	if err := SaveSplits(ctx, st, splits); err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadSplits(ctx, st, 5)
	if d := cmp.Diff(splits, loaded); err != nil || d != "" {
		t.Errorf("splits: %v (-saved +loaded)\n%s", err, d)
	}
	if _, err := LoadSplits(ctx, st, 4); err == nil || !strings.Contains(err.Error(), "5 folds, the plan has 4") {
		t.Errorf("wrong number of folds: %v", err)
	}
}

func withoutPrecision(data []byte) string {
	return regexp.MustCompile(`,\s*"precision": "\w*"`).ReplaceAllString(string(data), "")
}

// A plan from before plans named a precision is exact, and what was made from it
// keeps its digests.
func TestFormat1(t *testing.T) {
	exact := made(t, Options{Preset: Demo})
	exact.Training.Precision, exact.Inference.Precision = Exact, Exact
	data, err := Encode(exact)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Replace(withoutPrecision(data), `"format": 2`, `"format": 1`, 1)
	p, err := Decode([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(exact, p); d != "" {
		t.Errorf("plan (-exact +format 1)\n%s", d)
	}
	text, _ := json.Marshal(p.Inference.Digested())
	if strings.Contains(string(text), "precision") {
		t.Errorf("digests hold %s, which they did not before", text)
	}
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	good, err := Encode(made(t, Options{Preset: Demo}))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) string { return strings.Replace(string(good), old, new, 1) }
	for _, c := range []struct{ data, want string }{
		{edit(`"initial_lr"`, `"initial_lrate"`), `"training.initial_lr" is missing`},
		{edit(`"initial_lr"`, `"extra": 1, "initial_lr"`), `unknown field "training.extra"`},
		{edit(`"spacing"`, `"Spacing": [1, 1, 1], "spacing"`), `unknown field "Spacing"`},
		{edit(`"batch_size": 1`, `"batch_size": "1"`), "batch_size: want int, not a JSON string"},
		{edit(`"batch_size": 1`, `"batch_size": 1.5`), "batch_size"},
		{edit(`"batch_size": 1`, `"batch_size": 0`), "batch_size 0: want 1 to 1024"},
		{edit(`"batch_size": 1`, `"batch_size": null`), "batch_size: null"},
		{edit(`"batch_size": 1`, `"batch_size": `), "line "},
		{edit(`"format": 2`, `"format": 3, "shape_of_things_to_come": 1`), "unsupported: format 3"},
		{edit(`"precision": "mixed"`, `"precision": "half"`), "want one of mixed, fp32, bf16, fp16, exact"},
		{withoutPrecision(good), `training.precision ""`},
		{edit(`"num_classes": 5`, `"num_classes": 6`), "num_classes 6"},
		{edit(`"id": 2`, `"id": 3`), "labels: entry 1"},
		{edit(`"ignore_label": -1`, `"ignore_label": 3`), "ignore_label 3"},
		{string(good) + "{}", "more data after the end"},
		{"", "it is empty"},
		{"[]", "want plan.Plan"},
	} {
		if _, err := Decode([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

func TestDigests(t *testing.T) {
	p := made(t, Options{Preset: Demo})
	for _, c := range []struct {
		change                       func(p *Plan)
		all, training, preprocessing bool // does it change?
	}{
		{func(p *Plan) { p.Reasons = nil; p.DatasetName = "x"; p.Preset = NNUNet }, false, false, false},
		{func(p *Plan) { p.MedianShape[0]++ }, false, false, false},
		{func(p *Plan) { p.Inference.StepSize = 0.75 }, true, false, false},
		{func(p *Plan) { p.Inference.Precision = BF16 }, true, false, false},
		{func(p *Plan) { p.Training.Precision = BF16 }, true, true, false},
		{func(p *Plan) { p.Training.LearningRate *= 2 }, true, true, false},
		{func(p *Plan) { p.Seed++ }, true, true, false},
		{func(p *Plan) { p.Pseudo.DropPart = 0.3 }, true, true, false},
		{func(p *Plan) { p.PatchSize[0] *= 2 }, true, true, false},
		{func(p *Plan) { p.Spacing[0] *= 2 }, true, true, true},
		{func(p *Plan) { p.Intensity.Mean++ }, true, true, true},
		{func(p *Plan) { p.Orientation = "stored" }, true, true, true},
		{func(p *Plan) { p.Ignore = 5 }, true, true, true},
	} {
		q := p
		c.change(&q)
		got := []bool{p.Digest() != q.Digest(), p.TrainingDigest() != q.TrainingDigest(), p.PreprocessDigest(1) != q.PreprocessDigest(1)}
		if d := cmp.Diff([]bool{c.all, c.training, c.preprocessing}, got); d != "" {
			t.Errorf("digest, training, preprocessing changed (-want +got)\n%s", d)
		}
	}
	if p.PreprocessDigest(1) == p.PreprocessDigest(2) {
		t.Error("the version is not in the preprocessing digest")
	}
}

// TestPaperIsNotInDigests: what is off leaves no trace, so that models of older plans stay.
func TestPaperIsNotInDigests(t *testing.T) {
	p := made(t, Options{Preset: Demo})
	data, err := Encode(p)
	if err != nil || bytes.Contains(data, []byte(`"pseudo_labels": {`)) {
		t.Errorf("error %v; the plan of the paper says %s", err, data)
	}
	p.Pseudo.WeighVoxels = true
	if data, err = Encode(p); err != nil || !bytes.Contains(data, []byte(`"pseudo_labels": {`)) {
		t.Errorf("error %v; the plan says %s", err, data)
	}
	again, err := Decode(data)
	if err != nil || again.Pseudo != p.Pseudo {
		t.Errorf("error %v, read %+v", err, again.Pseudo)
	}
}

func FuzzDecode(f *testing.F) {
	p, err := Make(small(), dataset(5), Options{Preset: Demo})
	if err != nil {
		f.Fatal(err)
	}
	good, _ := Encode(p)
	f.Add(good)
	f.Add([]byte(`{"format":1,"labels":[null]}`))
	f.Add([]byte(`{"spacing":[1,2,3,4]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		p, err := Decode(data)
		if err != nil {
			if errors.Is(err, ErrMalformed) == errors.Is(err, ErrUnsupported) {
				t.Fatalf("neither or both of malformed and unsupported: %v", err)
			}
			return
		}
		again, err := Encode(p)
		if err != nil {
			t.Fatalf("a decoded plan cannot be encoded: %v", err)
		}
		q, err := Decode(again)
		if err != nil || p.Digest() != q.Digest() {
			t.Fatalf("decode, encode, decode: %v", err)
		}
		Explain(p)
		if !json.Valid(again) {
			t.Fatal("not JSON")
		}
	})
}
