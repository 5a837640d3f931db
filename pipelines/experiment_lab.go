package pipelines

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
)

// lab is one seed of an experiment: a run whose models are the rows.
type lab struct {
	*run
	seed     uint64
	schedule Schedule
	rows     []experimentRow
	folds    []int     // of the teachers; nil: all
	best     int       // fold that all single models train on
	truth    []fit.Ref // the pool with its true labels
	wide     *lab      // the full-width network's, or nil
	remarks  []string  // what was done otherwise than asked for
}

// lab opens the store of a seed.
func (q ExperimentRequest) lab(ctx context.Context, o Options, s Schedule, seed uint64) (*lab, error) {
	l := &lab{seed: seed, schedule: s, rows: q.rows()}
	o.Seed, o.Store = seed, q.place(fmt.Sprintf("seed_%d", seed))
	o.Set = slices.Concat(o.Set, s.settings())
	var err error
	if l.run, err = openDataset(ctx, o); err != nil {
		return nil, err
	}
	if l.wants("full-width") {
		o.Store += "/full-width"
		l.wide = &lab{seed: seed, schedule: s, rows: l.rows}
		l.wide.run, err = openDataset(ctx, o)
	}
	return l, err
}

// wants tells whether a row is to be trained.
func (l *lab) wants(name string) bool {
	return slices.ContainsFunc(l.rows, func(r experimentRow) bool { return r.name == name })
}

// dropRow takes a row out that cannot be had, and says why.
func (l *lab) dropRow(name, why string) {
	l.rows = slices.DeleteFunc(slices.Clone(l.rows), func(r experimentRow) bool { return r.name == name })
	l.remark("row that was not run: " + name + ": " + why)
}

// drop takes rows out that cannot be had, and says why.
func (l *lab) drop(needs, why string) {
	var names []string
	l.rows = slices.DeleteFunc(slices.Clone(l.rows), func(r experimentRow) bool {
		if r.needs == needs {
			names = append(names, r.name)
		}
		return r.needs == needs
	})
	if names != nil {
		l.remark("rows that were not run: " + strings.Join(names, ", ") + ": " + why)
	}
}

func (l *lab) remark(text string) {
	l.remarks = append(l.remarks, text)
	l.once("experiment: " + text)
}

// train trains all rows.
func (l *lab) train(ctx context.Context) error {
	if err := l.needPlan(ctx); err != nil {
		return err
	}
	if n, folds := len(plan.Cases(l.splits)), len(l.splits); n == 1 {
		l.remark("one labelled case: every fold trains and validates on it, so that cross-validation says nothing")
	} else if n < folds {
		l.remark(fmt.Sprintf("%d labelled cases for %d folds: a fold leaves one case out, and some folds leave out the same", n, folds))
	}
	if _, err := l.needTeachers(ctx, l.folds); err != nil {
		return err
	}
	if err := l.trainStudents(ctx); err != nil {
		return err
	}
	if err := l.needTruth(ctx); err != nil {
		return err
	}
	if err := l.trainSingles(ctx); err != nil {
		return err
	}
	return l.trainWide(ctx)
}

// trainStudents labels the pool and trains a student a fold, as the paper does; the best
// fold's is the one that goes on.
func (l *lab) trainStudents(ctx context.Context) error {
	if !slices.ContainsFunc(l.rows, func(r experimentRow) bool { return r.needs == needsPool }) {
		return nil
	}
	l.doubts = l.needsDoubts()
	_, err := l.needPseudoLabels(ctx)
	if none := (*noPoolError)(nil); errors.As(err, &none) {
		l.drop(needsPool, none.Error())
		return nil
	}
	if err != nil {
		return err
	}
	if _, err = l.needStudents(ctx, nil); err == nil {
		l.best, err = l.bestFold(ctx)
	}
	return err
}

// needTruth prepares the pool with its true labels, for rows that may see them.
func (l *lab) needTruth(ctx context.Context) error {
	if !l.wants("ceiling") {
		return nil
	}
	pairs, err := l.truths(ctx)
	if err != nil {
		return err
	}
	if len(pairs) == 0 {
		l.drop(needsTruth, "the cohort does not say what the unlabelled cases hold")
		return nil
	}
	if err := l.needPrepared(ctx, cases.Labelled); err != nil {
		return err
	}
	if _, err := l.prepare(ctx, pairs); err != nil {
		return err
	}
	for _, c := range pairs {
		if p, ok := l.prepared[c.ID]; ok {
			l.truth = append(l.truth, fit.Ref{Case: c.ID, Prepared: p.folder, Digest: p.digest})
		}
	}
	return nil
}

// truths pairs the pool with its true labels, under ids of their own: no other stage
// meets them.
func (l *lab) truths(ctx context.Context) ([]cases.Case, error) {
	labels, err := l.masksOf(ctx, phantom.TruthFolder)
	var out []cases.Case
	for _, c := range l.of(cases.Unlabelled) {
		if address := labels[c.ID]; address != "" {
			out = append(out, cases.Case{ID: phantom.TruthFolder + "_" + c.ID, Set: cases.Labelled, Image: c.Image, Labels: address})
		}
	}
	return out, err
}

// masksOf are the label files of a folder of the dataset, by case; a folder that is not
// there has none.
func (l *lab) masksOf(ctx context.Context, folder string) (map[string]string, error) {
	out := map[string]string{}
	there, err := l.holds(ctx, folder)
	if err != nil || !there {
		return out, err
	}
	found, refused, err := cases.Masks(ctx, l.folder(folder))
	if err != nil {
		return out, err
	}
	l.refuse(refused...)
	for _, c := range found {
		out[c.ID] = c.Labels
	}
	return out, nil
}

// trainSingles trains the rows that are one model each, side by side.
func (l *lab) trainSingles(ctx context.Context) error {
	builders := map[string]func(fold int) fit.Job{
		"student-plain": func(fold int) fit.Job {
			j := l.studentJob(l.pool)(fold)
			j.Augment = l.plan.Training.TeacherAugment
			return j
		},
		"control": l.controlJob,
		"control-loop": func(fold int) fit.Job {
			j := l.controlJob(fold)
			t := l.plan.Training
			j.Epochs = int64(len(l.splits)*(t.TeacherEpochs+t.StudentEpochs) + t.FinetuneEpochs)
			return j
		},
		"ceiling": func(fold int) fit.Job {
			j := l.studentJob(l.truth)(fold)
			j.Epochs = l.controlJob(fold).Epochs
			return j
		},
		"mix-1:0": func(fold int) fit.Job { return l.studentJob(nil)(fold) },
		"mix-1:1": l.mixed(1. / 2),
		"mix-1:7": l.mixed(1. / 8),
	}
	if l.wants("finetuned") {
		student, err := l.modelOf(ctx, fit.Student, l.best)
		if err != nil {
			return err
		}
		builders["finetuned"] = func(fold int) fit.Job { return l.finetuneJob(fold, student) }
	}
	extra, err := l.beyond(ctx)
	if err != nil {
		return err
	}
	maps.Copy(builders, extra)
	var all []fit.Job
	for _, row := range l.rows {
		build, single := builders[row.name]
		if !single {
			continue
		}
		jobs, err := l.jobs(row.role(), []int{l.best}, func(fold int) fit.Job {
			j := build(fold)
			j.Role = row.role()
			return j
		})
		if err != nil {
			return err
		}
		all = append(all, jobs...)
	}
	return l.trainJobs(ctx, "train rows", all)
}

// mixed is a student whose batches hold another part of labelled cases.
func (l *lab) mixed(labelled float64) func(fold int) fit.Job {
	return func(fold int) fit.Job {
		j := l.studentJob(l.pool)(fold)
		j.Plan.Training.LabelledPart = labelled
		return j
	}
}

// role is where a row's model lies in the store.
func (r experimentRow) role() fit.Role { return fit.Role(strings.ReplaceAll(r.name, ":", "-to-")) }

// trainWide trains the folds of the network with twice the features.
func (l *lab) trainWide(ctx context.Context) error {
	if l.wide == nil {
		return nil
	}
	features := l.plan.Network.Features
	text := make([]string, len(features))
	for i, n := range features {
		text[i] = fmt.Sprint(2 * n)
	}
	l.wide.Set = append(slices.Clone(l.wide.Set), "architecture.features_per_stage="+strings.Join(text, ","))
	if err := l.wide.needPlan(ctx); err != nil {
		return err
	}
	_, err := l.wide.needTeachers(ctx, nil)
	return err
}

// modelsOfRow are a row's models: a list a prediction, whose models vote.
func (l *lab) modelsOfRow(ctx context.Context, row experimentRow) ([][]model, error) {
	switch row.name {
	case "full-width", "low-footprint", "ensemble":
	default:
		m, err := l.modelOf(ctx, row.role(), l.best)
		return [][]model{{m}}, err
	}
	folds := l.folds
	if folds == nil {
		folds = make([]int, len(l.splits))
		for i := range folds {
			folds[i] = i
		}
	}
	var teachers []model
	for _, fold := range folds {
		m, err := l.modelOf(ctx, fit.Teacher, fold)
		if err != nil {
			return nil, err
		}
		teachers = append(teachers, m)
	}
	if row.name == "ensemble" {
		return [][]model{teachers}, nil
	}
	var each [][]model
	for _, m := range teachers {
		each = append(each, []model{m})
	}
	return each, nil
}
