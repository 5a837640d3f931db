package pipelines

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/runners"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
)

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
	j.Validation = r.leftOut(fold, labelled)
	return j
}

// leftOut are the fold's validation cases that are not trained on.
func (r *run) leftOut(fold int, labelled []string) (list []fit.Ref) {
	if fold >= len(r.splits) {
		return nil
	}
	for _, id := range r.splits[fold].Val {
		if row, ok := r.prepared[id]; ok && !slices.Contains(labelled, id) {
			list = append(list, fit.Ref{Case: id, Prepared: row.folder, Digest: row.digest})
		}
	}
	return list
}

// trainJobs brings the jobs of a stage to their end.
func (r *run) trainJobs(ctx context.Context, name string, jobs []fit.Job) error {
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
	s := r.stepStage(name, jobs)
	err = r.stage(ctx, s, func(ctx context.Context) (tally, error) {
		failure := r.fit(ctx, jobs, before)
		now, err := r.epochsDone(context.WithoutCancel(ctx), jobs) // an interrupted run has trained too
		return tally{added: (sum(now) - sum(before)) * int64(r.plan.Training.StepsPerEpoch)}, cmp.Or(failure, err)
	})
	if err != nil {
		return err
	}
	return r.meet(ctx, jobs, before)
}

// stepStage counts the steps of jobs.
func (r *run) stepStage(name string, jobs []fit.Job) stage {
	s := stage{name: name, unit: "step", pace: r.watch(jobs), done: func(ctx context.Context) (int64, error) {
		done, err := r.epochsDone(ctx, jobs)
		return sum(done) * int64(r.plan.Training.StepsPerEpoch), err
	}}
	for _, j := range jobs {
		s.total += j.Steps()
	}
	return s
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

// fit trains on the runner what is not yet done.
func (r *run) fit(ctx context.Context, jobs []fit.Job, done []int64) error {
	var missing []fit.Job
	for i, j := range jobs {
		if done[i] < j.Epochs {
			missing = append(missing, j)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	o, err := r.fitOptions(missing)
	if err != nil {
		return err
	}
	return runners.Run(ctx, trainGraph(missing, o), r.runnerFor("train", true))
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

// meet remembers jobs that are trained to their end. Those that diverged are its error,
// which comes when all others have ended.
func (r *run) meet(ctx context.Context, jobs []fit.Job, before []int64) error {
	var lost []error
	for i, j := range jobs {
		if d, err := fit.Diverged(ctx, r.store, j.Folder(), j.Inputs); err != nil {
			return err
		} else if d != nil {
			lost = append(lost, d)
			continue
		}
		history, err := fit.History(ctx, r.store, j.Folder())
		if err != nil {
			return err
		}
		if int64(len(history)) < j.Epochs {
			return fmt.Errorf("pipelines: %s ended after %d of %d epochs; run the command again", j.Name(), len(history), j.Epochs)
		}
		r.models[j.Folder()] = TrainedModel{Course: courseOf(j, history), New: j.Epochs - before[i]}
	}
	return errors.Join(lost...)
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
