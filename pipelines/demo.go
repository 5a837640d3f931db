package pipelines

import (
	"context"
	"fmt"
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

// demoSeed is the seed of the cohort and of all training unless another is asked for.
const demoSeed = 1

// demoCohort is the pilot's setting E3: three labelled cases of one scanner, an
// unlabelled pool and a test set of another.
var demoCohort = phantom.Options{
	Labelled: 3, Unlabelled: 41, Test: 24, Corrupt: 1, Shifted: true,
}

// quickCohort has one of everything that the demo shows.
var quickCohort = phantom.Options{
	Labelled: 3, Unlabelled: 4, Test: 2, Corrupt: 1, Shifted: true,
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
		return Report{}, misuse("no folder for the demo; give --out=DIR")
	}
	o, cohort := q.settings(o)
	made, err := Phantom(ctx, o, PhantomRequest{Out: o.Dataset, Options: cohort})
	if err != nil {
		return Report{}, err
	}
	r, err := openDataset(ctx, o)
	if err != nil {
		return Report{}, err
	}
	if r.clock.recall("phantom"); made.New {
		r.clock.spent("phantom", made.took, false, true)
	}
	report, err := r.loop(ctx, fit.Control)
	if err != nil {
		return report, err
	}
	report.Note = fmt.Sprintf("Synthetic phantoms, one seed (%d): this shows that the method runs, not how good it is on patients.", o.Seed)
	st, err := store.Open(ctx, q.Out)
	if err != nil {
		return report, err
	}
	return report, r.publish(ctx, st, "summary.json", report, q.line(o.Seed))
}

// line is the command that runs the demo again.
func (q DemoRequest) line(seed uint64) string {
	text := commandLine("demo", "out", q.Out)
	if q.Quick {
		text += " --quick"
	}
	if seed != demoSeed {
		text += fmt.Sprintf(" --seed %d", seed)
	}
	return text
}

// settings completes the options and chooses the cohort.
func (q DemoRequest) settings(o Options) (Options, phantom.Options) {
	cohort := demoCohort
	if q.Quick {
		cohort = quickCohort
		o.Set = append(o.Set, quickSteps...)
	}
	if o.Seed == 0 {
		o.Seed = demoSeed
	}
	cohort.Seed = o.Seed
	o.Preset = plan.Demo
	out := strings.TrimRight(q.Out, "/")
	o.Dataset, o.Store = out+"/cohort", out+"/store"
	return o, cohort
}
