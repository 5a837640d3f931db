package pipelines

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/runners"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
)

// Trained is what training commands report.
type Trained struct {
	Models   []TrainedModel `json:"models"`
	Rejected []Rejected     `json:"rejected"`
}

// TrainedModel is one model of the store.
type TrainedModel struct {
	Role   fit.Role `json:"role"`
	Fold   int      `json:"fold"`
	Epochs int64    `json:"epochs"`
	Loss   float64  `json:"loss"`   // mean over the last epoch
	New    int64    `json:"new"`    // epochs that this run trained
	Waited float64  `json:"waited"` // share of the last epoch's time spent waiting for data
}

// String gives one line a model.
func (t Trained) String() string {
	var b strings.Builder
	for _, m := range t.Models {
		what := fmt.Sprintf("%d of them now", m.New)
		if m.New == 0 {
			what = "nothing to do"
		}
		fmt.Fprintf(&b, "%s fold %d: %d epochs, loss %.3f; %s\n", m.Role, m.Fold, m.Epochs, m.Loss, what)
	}
	return b.String()
}

// Train trains the folds of a role (none: all of them), after making what they need.
// Fine-tuning without a fold takes the best student's.
func Train(ctx context.Context, o Options, role fit.Role, folds []int) (Trained, error) {
	needs := map[fit.Role]func(*run, context.Context, []int) ([]TrainedModel, error){
		fit.Teacher: (*run).needTeachers, fit.Control: (*run).needControls,
		fit.Student: (*run).needStudents, fit.Finetuned: (*run).needFinetuned,
	}
	need, known := needs[role]
	if !known {
		return Trained{}, misuse("no role %q; use teacher, student, finetuned or control", role)
	}
	r, err := openDataset(ctx, o)
	if err != nil {
		return Trained{}, err
	}
	if err := r.needPlan(ctx); err != nil {
		return Trained{}, err
	}
	if err := r.checkFolds(role, folds); err != nil {
		return Trained{}, err
	}
	models, err := need(r, ctx, folds)
	return Trained{models, r.refused}, err
}

// checkFolds refuses folds that the role does not have.
func (r *run) checkFolds(role fit.Role, folds []int) error {
	for _, fold := range folds {
		if n := r.folds(role); fold < 0 || fold >= n {
			return misuse("no fold %d of role %s; there are 0 to %d", fold, role, n-1)
		}
	}
	return nil
}

// folds is how many models a role has: one where all its models see the same cases.
func (r *run) folds(role fit.Role) int {
	if role != fit.Teacher && r.plan.Training.StudentAllLabels {
		return 1
	}
	return len(r.splits)
}

func (r *run) needTeachers(ctx context.Context, folds []int) ([]TrainedModel, error) {
	if err := r.needPrepared(ctx, cases.Labelled); err != nil {
		return nil, err
	}
	return r.train(ctx, fit.Teacher, folds, func(fold int) fit.Job {
		return r.job(fit.Teacher, fold, r.splits[fold].Train)
	})
}

func (r *run) needControls(ctx context.Context, folds []int) ([]TrainedModel, error) {
	if err := r.needPrepared(ctx, cases.Labelled); err != nil {
		return nil, err
	}
	return r.train(ctx, fit.Control, folds, func(fold int) fit.Job {
		return r.job(fit.Control, fold, r.studentCases(fold))
	})
}

// studentCases are the labelled cases of a student: the fold's training part, or all.
func (r *run) studentCases(fold int) []string {
	if r.plan.Training.StudentAllLabels {
		return ids(r.of(cases.Labelled))
	}
	return r.splits[fold].Train
}

// job fills in what the role decides; the caller adds pseudo-labels and start.
func (r *run) job(role fit.Role, fold int, labelled []string) fit.Job {
	t := r.plan.Training
	j := fit.Job{
		Role: role, Fold: fold, Store: r.store.Root(), Plan: r.plan, Seed: r.plan.Seed,
		Augment: t.TeacherAugment, Rate: t.LearningRate, Epochs: int64(t.TeacherEpochs),
	}
	switch role {
	case fit.Student:
		j.Augment, j.Epochs = t.StudentAugment, int64(t.StudentEpochs)
	case fit.Finetuned:
		j.Rate, j.Epochs = t.FinetuneRate, int64(t.FinetuneEpochs)
	case fit.Control:
		j.Augment, j.Epochs = t.StudentAugment, int64(t.StudentEpochs+t.FinetuneEpochs)
	}
	for _, id := range labelled {
		if row, ok := r.prepared[id]; ok {
			j.Labelled = append(j.Labelled, fit.Ref{Case: id, Prepared: row.folder, Digest: row.digest})
		}
	}
	return j
}

// train runs the jobs of some folds on the runner, or of all where folds is empty.
// Models that this run has seen trained are not asked for again.
func (r *run) train(ctx context.Context, role fit.Role, folds []int, build func(fold int) fit.Job) ([]TrainedModel, error) {
	if len(folds) == 0 {
		for fold := range r.folds(role) {
			folds = append(folds, fold)
		}
	}
	var jobs []fit.Job
	for _, fold := range folds {
		if _, met := r.models[fit.Folder(role, fold)]; met {
			continue
		}
		j := build(fold)
		if len(j.Labelled) == 0 {
			return nil, fmt.Errorf("pipelines: %s has no labelled case that could be prepared; see the rejected cases in %s", j.Name(), r.store.Address("ledger/preprocess"))
		}
		jobs = append(jobs, j.Sealed())
	}
	if err := r.trainJobs(ctx, role, jobs); err != nil {
		return nil, err
	}
	var out []TrainedModel
	for _, fold := range folds {
		out = append(out, r.models[fit.Folder(role, fold)])
	}
	return out, nil
}

// trainJobs brings jobs of one role to their end.
func (r *run) trainJobs(ctx context.Context, role fit.Role, jobs []fit.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := r.discard(ctx, jobs); err != nil {
		return err
	}
	before, err := r.epochsDone(ctx, jobs)
	if err != nil {
		return err
	}
	var missing []fit.Job
	steps := int64(r.plan.Training.StepsPerEpoch)
	s := stage{name: "train " + string(role), unit: "step", done: func(ctx context.Context) (int64, error) {
		done, err := r.epochsDone(ctx, jobs)
		return sum(done) * steps, err
	}}
	for i, j := range jobs {
		s.total += j.Steps()
		if before[i] < j.Epochs {
			missing = append(missing, j)
		}
	}
	err = r.stage(ctx, s, func(ctx context.Context) (tally, error) {
		failure := r.fit(ctx, missing)
		now, err := s.done(context.WithoutCancel(ctx)) // an interrupted run has trained too
		if failure != nil {
			err = failure
		}
		return tally{added: now - sum(before)*steps}, err
	})
	if err != nil {
		return err
	}
	return r.meet(ctx, jobs, before)
}

// discard removes models that --retrain starts over.
func (r *run) discard(ctx context.Context, jobs []fit.Job) error {
	if !r.Retrain {
		return nil
	}
	for _, j := range jobs {
		if err := fit.Discard(ctx, r.store, j); err != nil {
			return err
		}
	}
	return nil
}

// fit trains what is missing on the runner.
func (r *run) fit(ctx context.Context, missing []fit.Job) error {
	if len(missing) == 0 {
		return nil
	}
	o, err := r.fitOptions(len(missing))
	if err != nil {
		return err
	}
	return runners.Run(ctx, trainGraph(missing, o), r.Runner)
}

func trainGraph(jobs []fit.Job, o fit.Options) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	read(s, fit.Jobs(s, o, beam.CreateList(s, encoded(jobs))))
	return p
}

// epochsDone tells how many epochs of each job are in the store.
func (r *run) epochsDone(ctx context.Context, jobs []fit.Job) ([]int64, error) {
	out := make([]int64, len(jobs))
	for i, j := range jobs {
		done, err := fit.Done(ctx, r.store, j)
		if err != nil {
			return nil, err
		}
		out[i] = done
	}
	return out, nil
}

// meet remembers jobs that are trained to their end.
func (r *run) meet(ctx context.Context, jobs []fit.Job, before []int64) error {
	for i, j := range jobs {
		history, err := fit.History(ctx, r.store, j.Folder())
		if err != nil {
			return err
		}
		if int64(len(history)) < j.Epochs {
			return fmt.Errorf("pipelines: %s ended after %d of %d epochs; run the command again", j.Name(), len(history), j.Epochs)
		}
		last := history[len(history)-1]
		r.models[j.Folder()] = TrainedModel{
			Role: j.Role, Fold: j.Fold, Epochs: j.Epochs, Loss: last.Loss, New: j.Epochs - before[i], Waited: last.Waited,
		}
	}
	return nil
}

func sum(list []int64) (n int64) {
	for _, v := range list {
		n += v
	}
	return n
}

// encoded gives elements as JSON, which every coder carries.
func encoded[T any](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		data, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("pipelines: encode element: %v", err)) // our own structs always encode
		}
		out[i] = string(data)
	}
	return out
}
