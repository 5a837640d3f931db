package pipelines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"noisystudent/io/store"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
)

// DemoRequest says where the demo goes and how long it may take.
type DemoRequest struct {
	Out   string
	Quick bool
}

// demoSeed is the seed of the cohort and of all training: the demo shows one seed.
const demoSeed = 1

// demoCohort is the pilot's setting E3: three labelled cases of one scanner, an
// unlabelled pool and a test set of another.
var demoCohort = phantom.Options{
	Labelled: 3, Unlabelled: 41, Test: 24, Corrupt: 1, Seed: demoSeed, Shifted: true,
}

// quickCohort has one of everything that the demo shows.
var quickCohort = phantom.Options{
	Labelled: 3, Unlabelled: 4, Test: 2, Corrupt: 1, Seed: demoSeed, Shifted: true,
}

// quickSteps are plan settings that leave every stage in and take the time out.
var quickSteps = []string{
	"training.steps_per_epoch=5", "training.teacher_epochs=2", "training.student_epochs=2",
	"training.finetune_epochs=1", "training.warmup_steps=3",
}

// Demo makes a cohort and runs the loop on it, with a supervised control beside
// the student. A second run does only what is missing.
func Demo(ctx context.Context, o Options, q DemoRequest) (Report, error) {
	if q.Out == "" {
		return Report{}, errors.New("pipelines: demo: no folder; give --out=DIR")
	}
	cohort := demoCohort
	o.Preset, o.Seed = plan.Demo, demoSeed
	if q.Quick {
		cohort = quickCohort
		o.Set = append(o.Set, quickSteps...)
	}
	o.Dataset, o.Store = filepath.Join(q.Out, "cohort"), filepath.Join(q.Out, "store")
	if strings.HasPrefix(q.Out, "gs://") {
		o.Dataset, o.Store = q.Out+"/cohort", q.Out+"/store"
	}
	if _, err := Phantom(ctx, o, PhantomRequest{Out: o.Dataset, Options: cohort}); err != nil {
		return Report{}, err
	}
	r, err := openDataset(ctx, o)
	if err != nil {
		return Report{}, err
	}
	report, err := r.loop(ctx, fit.Control)
	if err != nil {
		return report, err
	}
	report.Note = "Synthetic phantoms, one seed: this shows that the method runs, not how good it is on patients."
	return report, report.save(ctx, q.Out)
}

// save writes summary.json into a folder.
func (r Report) save(ctx context.Context, folder string) error {
	st, err := store.Open(ctx, folder)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("pipelines: write summary: %w", err)
	}
	return st.Write(ctx, "summary.json", append(data, '\n'))
}
