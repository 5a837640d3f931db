package pipelines

import (
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/pseudo"
	"noisystudent/transforms/score"
)

// benchmarkCohort makes a tiny cohort of a benchmark's domains.
func benchmarkCohort(t *testing.T, labelled, unlabelled, corrupt int) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "cohort")
	q := PhantomRequest{Out: out, Options: phantom.Options{
		Preset: phantom.FlareMini, Labelled: labelled, Unlabelled: unlabelled, Corrupt: corrupt, Validation: 2, Test: 2, Truth: true, Shifted: true,
		Shape: [3]int{9, 16, 22}, Spacing: [3]float64{10, 15, 15}, Seed: 3,
	}}
	if _, err := Phantom(t.Context(), Options{}, q); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPaperTables runs the whole experiment with a network of a few hundred weights, and
// once more.
func TestPaperTables(t *testing.T) {
	log := &notes{}
	o := tinyOptions(benchmarkCohort(t, 3, 3, 0), "", log)
	q := ExperimentRequest{Out: t.TempDir(), Steps: 10, Rows: []string{"all"}}
	first, err := PaperTables(t.Context(), o, q)
	if err != nil {
		t.Fatal(err)
	}
	checkComparison(t, first)
	if log.take() == nil {
		t.Error("nothing is said")
	}
	second, err := PaperTables(t.Context(), o, q)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(first, second, cmp.AllowUnexported(Comparison{}, experimentRow{})); d != "" {
		t.Errorf("the second run gives something else (-first +second)\n%s", d)
	}
	if lines := lacks(log.take(), "nothing to do", "holds this cohort"); len(lines) > 0 {
		t.Errorf("the second run says %q", lines)
	}
	fewer := q
	fewer.Rows = []string{"mix"}
	if c, err := PaperTables(t.Context(), o, fewer); err != nil || c.String() != first.String() {
		t.Errorf("asked for some rows, the tables lose others (%v):\n%s", err, c)
	}
	kept := mustOpen(t, q.Out)
	for _, key := range []string{"tables.txt", "comparison.json", "schedule.json", "report/index.html"} {
		if data, err := kept.Read(t.Context(), key); err != nil || len(data) == 0 {
			t.Errorf("%s: %v", key, err)
		}
	}
	q.Steps = 20
	if _, err := PaperTables(t.Context(), o, q); err == nil || !strings.Contains(err.Error(), "schedule.json says 1 seeds; steps: teacher 4, student 10, fine-tune 2") {
		t.Errorf("other steps in the same folder: %v", err)
	}
}

func checkComparison(t *testing.T, c Comparison) {
	t.Helper()
	text := c.String()
	if n := strings.Count(text, "SYNTHETIC cohort flare-mini"); n != 7 { // heading, five tables, claims
		t.Errorf("%d times SYNTHETIC in\n%s", n, text)
	}
	verdict := regexp.MustCompile(`^.+: (holds|fails|open), [+-]\d+\.\d\d (DSC|s), \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]`)
	for _, claim := range c.Claims {
		if !verdict.MatchString(claim.String()) {
			t.Errorf("claim %q", claim)
		}
	}
	if len(c.Claims) != len(claims)+1+len(beyondRows) || len(c.Seeds) != 1 {
		t.Fatalf("%d claims, %d seeds", len(c.Claims), len(c.Seeds))
	}
	steps := map[string]int64{
		"full-width": 4, "low-footprint": 4, "ensemble": 8, "student-plain": 10, "student": 10, "finetuned": 12, "control": 12,
		"control-loop": 30, "ceiling": 12, "mix-1:0": 10, "mix-1:1": 10, "mix-1:7": 10,
		"mirror-plain": 10, "mirror-left-right": 10, "filter-organs": 10, "filter-priors": 10, "filter-voxels": 10, "weigh-voxels": 10, "soft": 10, "ema": 10, "round-2": 10, "round-2-stable": 10,
	}
	s := c.Seeds[0]
	for _, row := range experimentRows {
		r, found := s.Rows[row.name]
		if !found || len(r.Cases) != 2 || r.Steps != steps[row.name] || len(r.DSC[0]) != len(c.Organs) {
			t.Errorf("row %s: %+v", row.name, r)
		}
		if !strings.Contains(text, "\n"+row.name+" ") {
			t.Errorf("no row %s in\n%s", row.name, text)
		}
	}
	if s.Rows["student"].Sides.Voxels == 0 {
		t.Error("left and right are not counted")
	}
	for _, other := range beyondRows {
		if d := cmp.Diff(s.Rows["student"].DSC, s.Rows[other.name].DSC); d == "" && other.name != "filter-organs" && other.name != "filter-priors" { // of three cases they leave none out
			t.Errorf("%s scores as the student does", other.name)
		}
	}
	if len(s.Teacher) != 2 || len(s.Student) != 2 || s.Pseudo.Kept != 3 || !(s.Pseudo.DSC >= 0) {
		t.Errorf("%+v", s)
	}
	if !(s.Memory["full-width"] > 0 && s.Memory["finetuned"] > 0) {
		t.Errorf("memory %v", s.Memory)
	}
}

func TestAnchors(t *testing.T) {
	o := tinyOptions(benchmarkCohort(t, 2, 2, 0), "", &notes{})
	a, err := MeasureAnchors(t.Context(), o, ExperimentRequest{Out: t.TempDir(), Steps: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Teacher.Cases) != 2 || a.Teacher.Cases[0] != "validation_0000" || a.Teacher.Steps != 4 || a.Control.Steps != 12 || a.Ceiling.Steps != 12 || !strings.Contains(a.String(), "SYNTHETIC") {
		t.Errorf("%+v\n%s", a, a)
	}
	o.Dataset = filepath.Join(t.TempDir(), "plain")
	tinyCohort(t, o.Dataset, 2, 2, 1, 0)
	if _, err := MeasureAnchors(t.Context(), o, ExperimentRequest{Out: t.TempDir(), Steps: 10}); err == nil || !strings.Contains(err.Error(), "phantom --preset flare-mini") {
		t.Errorf("a cohort without truth: %v", err)
	}
}

// TestExperimentWithLittle: what is missing is said, and the rest is run.
func TestExperimentWithLittle(t *testing.T) {
	for name, c := range map[string]struct {
		labelled, unlabelled, corrupt int
		notes                         []string
	}{
		"one labelled case, no pool": {1, 0, 0, []string{"one labelled case", "student-plain, student, finetuned: pipelines: ", "no unlabelled scans", "ceiling: the cohort does not say"}},
		"no pseudo-label":            {1, 1, 1, []string{"none of 1 unlabelled scans could be prepared"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := tinyOptions(benchmarkCohort(t, c.labelled, c.unlabelled, c.corrupt), "", &notes{})
			got, err := PaperTables(t.Context(), o, ExperimentRequest{Out: t.TempDir(), Steps: 5})
			if err != nil {
				t.Fatal(err)
			}
			text := got.String()
			for _, want := range append(c.notes, "open (row finetuned was not run; --rows finetuned)") {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if r := got.Seeds[0].Rows; len(r["control-loop"].Cases) != 2 || len(r["finetuned"].Cases) != 0 {
				t.Errorf("rows %v", r)
			}
		})
	}
}

func TestShortBudget(t *testing.T) {
	o := tinyOptions(benchmarkCohort(t, 2, 1, 0), "", &notes{})
	q := ExperimentRequest{Out: t.TempDir(), Budget: time.Microsecond}
	if _, err := PaperTables(t.Context(), o, q); err == nil || !strings.Contains(err.Error(), "too short for one epoch of 5 steps") {
		t.Errorf("a budget of a microsecond: %v", err)
	}
	q, err := ExperimentRequest{Out: q.Out, Budget: 10 * time.Minute}.complete()
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := q.prepare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.schedule(t.Context(), prepared, loopUnits)
	if err != nil || s.StepsPerEpoch != wholeEpoch || s.Unit < 1 || !(s.StepsASecond > 0) {
		t.Errorf("%+v, %v", s, err)
	}
	if again, err := q.schedule(t.Context(), prepared, loopUnits); err != nil || again != s {
		t.Errorf("%+v, then %+v (%v)", s, again, err)
	}
}

func TestRequestsThatCannotBeMeant(t *testing.T) {
	good := ExperimentRequest{Out: "mem://x", Steps: 10}
	for want, change := range map[string]func(*ExperimentRequest){
		"--out":           func(q *ExperimentRequest) { q.Out = "" },
		"either --budget": func(q *ExperimentRequest) { q.Budget = time.Hour },
		"positive":        func(q *ExperimentRequest) { q.Steps = -1 },
		"no preset":       func(q *ExperimentRequest) { q.Cohort = "flare" },
		"no row":          func(q *ExperimentRequest) { q.Rows = []string{"student", "best"} },
		"both the CT":     func(q *ExperimentRequest) { q.CT = "ct.nii.gz" },
	} {
		q := good
		change(&q)
		if _, err := q.complete(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestRows(t *testing.T) {
	for asked, want := range map[string]string{
		"core":                "low-footprint ensemble student-plain student finetuned control control-loop ceiling",
		"mix,student":         "student mix-1:0 mix-1:1 mix-1:7",
		"beyond":              "low-footprint student mirror-plain mirror-left-right filter-organs filter-priors filter-voxels weigh-voxels soft ema round-2 round-2-stable",
		"weigh-voxels":        "low-footprint student weigh-voxels",
		"full-width,ensemble": "full-width ensemble",
	} {
		var got []string
		for _, r := range (ExperimentRequest{Rows: strings.Split(asked, ",")}).rows() {
			got = append(got, r.name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v", asked, got)
		}
	}
}

// rowOf is a row of so many DSC of one organ, by case.
func rowOf(dsc ...float64) RowResult {
	var r RowResult
	for i, d := range dsc {
		r.Cases = append(r.Cases, string(rune('a'+i)))
		r.DSC, r.NSD, r.Seconds = append(r.DSC, []float64{d}), append(r.NSD, []float64{d}), append(r.Seconds, d)
	}
	return r
}

// TestVerdicts: three seeds tell by their spread; one seed is widened by its teachers'.
func TestVerdicts(t *testing.T) {
	seed := func(a, b float64, teachers ...float64) SeedResult {
		low := rowOf(b, b, b)
		for _, d := range teachers {
			low.Models = append(low.Models, score.Mean{DSC: d})
		}
		return SeedResult{Rows: map[string]RowResult{"finetuned": rowOf(a, a, a), "low-footprint": low}}
	}
	for name, c := range map[string]struct {
		seeds []SeedResult
		want  string
	}{
		"better":          {[]SeedResult{seed(.6, .5), seed(.61, .5), seed(.6, .52)}, "holds"},
		"worse":           {[]SeedResult{seed(.4, .5), seed(.41, .5), seed(.4, .52)}, "fails"},
		"not clear":       {[]SeedResult{seed(.4, .5), seed(.6, .5), seed(.5, .5)}, "open"},
		"one, far":        {[]SeedResult{seed(.6, .5, .49, .5, .51)}, "holds"}, // 10 against 1.96 sqrt 2
		"one, near":       {[]SeedResult{seed(.52, .5, .49, .5, .51)}, "open"}, // 2 against the same
		"one, no teacher": {[]SeedResult{seed(.9, .5, .5)}, "open"},
		"none":            {[]SeedResult{{}}, "open"},
	} {
		if got := (Comparison{Seeds: c.seeds}).judge(claims[0]); got.Verdict != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if v := verdict(score.Interval{Mean: 1, Low: 0.6, High: 1.2}, 0.5); v != "holds" {
		t.Error(v)
	}
}

// TestFilterQuality joins choices with scores, organ by organ.
func TestFilterQuality(t *testing.T) {
	s := pseudo.Selection{Organs: []pseudo.Choice{
		{Case: "a", Label: 1},
		{Case: "a", Label: 2, Why: "doubted"},
		{Case: "b", Label: 1, Why: "doubted"},
		{Case: "b", Label: 2},
		{Case: "c", Label: 1},
		{Case: "lost", Label: 2},
		{Case: "a", Label: 3},
	}}
	row := func(liver, spleen float64) score.Row {
		return score.Row{Organs: []score.Organ{{Label: 1, DSC: liver}, {Label: 2, DSC: spleen}, {Label: 3, DSC: 1}}}
	}
	found := map[string]score.Row{"a": row(0.9, 0.2), "b": row(0.4, 0.8), "c": row(0.7, 0), "lost": {}}
	q := filterQuality("filter-organs", s, found, plan.Plan{Labels: []cases.Label{{ID: 1, Name: "liver"}, {ID: 2, Name: "spleen"}, {ID: 3, Name: "aorta"}}})
	want := []FilteredOrgan{{"liver", 2, 1, 0.8, 0.4}, {"spleen", 1, 1, 0.8, 0.2}}
	if d := cmp.Diff(want, q.Organs, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })); d != "" || math.Abs(q.Is.Mean-50) > 1e-9 {
		t.Errorf("%+v %s", q.Is, d)
	}
}

// TestLoopUnits: the units of the core are those of its models.
func TestLoopUnits(t *testing.T) {
	const folds = 5
	want := folds*2 + folds*5 + 1 // the method
	want += 5                     // student-plain
	want += 6                     // control
	want += folds*2 + folds*5 + 1 // control-loop
	want += 6                     // ceiling
	if got := loopUnits(folds); got != want {
		t.Errorf("%d, want %d", got, want)
	}
	if s := (Schedule{}).of(120); s.steps(finetuneUnits) != 100 || s.steps(studentUnits) != 500 {
		t.Errorf("%+v", s)
	}
	if !slices.Contains((Schedule{StepsPerEpoch: 50, Unit: 2}).settings(), "training.student_epochs=10") {
		t.Error("settings")
	}
}
