package pipelines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
)

// Schedule is how long every model is trained, schedule.json. It is decided once: a
// second run goes on with the same steps, however fast the machine is then.
type Schedule struct {
	Budget        string  `json:"budget,omitempty"`
	Seeds         int     `json:"seeds"`
	StepsASecond  float64 `json:"steps_a_second,omitempty"` // of the machine, measured before the start
	StepsPerEpoch int     `json:"steps_per_epoch"`
	Unit          int     `json:"unit_epochs"` // of a fine-tune; a teacher has twice, a student five times as many
}

// Epochs of the roles, in units: those of the demonstration, 800, 2,000 and 400 steps.
const (
	teacherUnits  = 2
	studentUnits  = 5
	finetuneUnits = 1
)

const (
	scheduleFile  = "schedule.json"
	wholeEpoch    = 50 // steps, where there are enough
	leastEpoch    = 5  // steps
	paceSteps     = 20 // that are timed, after as many that are not
	trainingShare = 0.8
)

// loopUnits are the units of training of the core rows of one seed.
func loopUnits(folds int) int {
	single := studentUnits + finetuneUnits
	return loopOf(folds) + studentUnits + single + loopOf(folds) + single // student-plain, control, control-loop, ceiling
}

// loopOf are the units of the method itself: teachers, students, fine-tune.
func loopOf(folds int) int { return folds*(teacherUnits+studentUnits) + finetuneUnits }

// settings are the plan's fields that the schedule decides.
func (s Schedule) settings() []string {
	return []string{
		fmt.Sprintf("training.steps_per_epoch=%d", s.StepsPerEpoch),
		fmt.Sprintf("training.teacher_epochs=%d", teacherUnits*s.Unit),
		fmt.Sprintf("training.student_epochs=%d", studentUnits*s.Unit),
		fmt.Sprintf("training.finetune_epochs=%d", finetuneUnits*s.Unit),
	}
}

// steps of a number of units.
func (s Schedule) steps(units int) int { return units * s.Unit * s.StepsPerEpoch }

func (s Schedule) String() string {
	text := fmt.Sprintf("%d seeds; steps: teacher %d, student %d, fine-tune %d", s.Seeds, s.steps(teacherUnits), s.steps(studentUnits), s.steps(finetuneUnits))
	if s.Budget != "" {
		text += fmt.Sprintf("; from a budget of %s at %.3g steps a second, measured before the start", s.Budget, s.StepsASecond)
	}
	return text
}

// of makes a schedule of so many steps a unit.
func (s Schedule) of(unit int) Schedule {
	s.StepsPerEpoch = min(wholeEpoch, unit)
	s.Unit = unit / s.StepsPerEpoch
	return s
}

// schedule reads what was decided, or decides. units are those of one seed.
func (q ExperimentRequest) schedule(ctx context.Context, o Options, units func(folds int) int) (s Schedule, err error) {
	st, err := store.Open(ctx, q.Out)
	if err != nil {
		return s, err
	}
	data, err := st.Read(ctx, scheduleFile)
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &s); err != nil || s.Unit < 1 || s.StepsPerEpoch < 1 {
			return s, fmt.Errorf("pipelines: read %s: %v; remove the file to have steps counted anew", st.Address(scheduleFile), err)
		}
		return s, q.sameSchedule(s, st.Address(scheduleFile))
	case !errors.Is(err, fs.ErrNotExist):
		return s, err
	}
	s.Seeds = q.Seeds
	if q.Steps > 0 {
		if q.Steps < studentUnits {
			return s, misuse("%d steps of a student; give %d or more", q.Steps, studentUnits)
		}
		s = s.of(q.Steps / studentUnits)
	} else if s, err = q.byBudget(ctx, o, s, units); err != nil {
		return s, err
	}
	return s, writeJSON(ctx, st, scheduleFile, s)
}

// sameSchedule refuses a request that a schedule contradicts.
func (q ExperimentRequest) sameSchedule(s Schedule, at string) error {
	asked := Schedule{Seeds: q.Seeds}
	if q.Steps > 0 {
		asked = asked.of(max(q.Steps/studentUnits, 1))
	} else {
		asked.Budget, asked.StepsASecond, asked.StepsPerEpoch, asked.Unit = q.Budget.String(), s.StepsASecond, s.StepsPerEpoch, s.Unit
	}
	if asked != s {
		return fmt.Errorf("pipelines: %s says %s; ask for the same, or give another --out", at, s)
	}
	return nil
}

// byBudget counts the steps that a budget allows on this machine.
func (q ExperimentRequest) byBudget(ctx context.Context, o Options, s Schedule, units func(int) int) (Schedule, error) {
	rate, folds, err := q.pace(ctx, o)
	if err != nil {
		return s, err
	}
	s.Budget, s.StepsASecond = q.Budget.String(), rate
	steps := q.Budget.Seconds() * trainingShare * rate / float64(q.Seeds*units(folds))
	if steps < leastEpoch {
		need := time.Duration(leastEpoch / steps * float64(q.Budget)).Round(time.Second)
		return s, fmt.Errorf("pipelines: experiment: a budget of %v is too short for one epoch of %d steps of every model at %.3g steps a second; give %v or more, or fewer --seeds", q.Budget, leastEpoch, rate, need)
	}
	return s.of(int(steps)), nil
}

// pace measures the steps that this machine makes in a second, all threads together.
func (q ExperimentRequest) pace(ctx context.Context, o Options) (rate float64, folds int, err error) {
	o.Store, o.Seed = q.place("pace"), 1
	o.Set = append(o.Set[:len(o.Set):len(o.Set)], fmt.Sprintf("training.steps_per_epoch=%d", paceSteps))
	r, err := openDataset(ctx, o)
	if err != nil {
		return 0, 0, err
	}
	if err := r.needPlan(ctx); err != nil {
		return 0, 0, err
	}
	if err := r.needPrepared(ctx, cases.Labelled); err != nil {
		return 0, 0, err
	}
	var places []int
	for i := range max(r.threads(), 1) {
		places = append(places, i)
	}
	jobs, err := r.jobs("pace", places, func(i int) fit.Job {
		j := r.job("pace", i, ids(r.of(cases.Labelled)))
		j.Epochs = 2
		return j
	})
	if err == nil {
		err = r.trainJobs(ctx, "measure the pace", jobs)
	}
	for _, j := range jobs {
		history, failure := fit.History(ctx, r.store, j.Folder())
		if failure != nil || len(history) < 2 {
			return 0, 0, errors.Join(err, failure)
		}
		rate += paceSteps / max(history[1].Seconds, 1e-6)
	}
	return rate, len(r.splits), err
}
