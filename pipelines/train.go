package pipelines

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/runners"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/manifest"
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
		what := fmt.Sprintf("%d epochs trained", m.New)
		if m.New == 0 {
			what = "nothing to do"
		}
		fmt.Fprintf(&b, "%s fold %d: %d epochs, loss %.3f; %s\n", m.Role, m.Fold, m.Epochs, m.Loss, what)
	}
	return b.String()
}

// Train trains the folds of a role (none: all of them), after making what they need.
func Train(ctx context.Context, o Options, role fit.Role, folds []int) (Trained, error) {
	r, err := openDataset(ctx, o)
	if err != nil {
		return Trained{}, err
	}
	if err := r.needPlan(ctx); err != nil {
		return Trained{}, err
	}
	var t Trained
	switch role {
	case fit.Teacher:
		t.Models, err = r.needTeachers(ctx, folds)
	case fit.Control:
		t.Models, err = r.needControls(ctx, folds)
	case fit.Student:
		t.Models, err = r.needStudents(ctx, folds)
	case fit.Finetuned:
		t.Models, err = r.needFinetuned(ctx)
	default:
		return t, fmt.Errorf("pipelines: no role %q; use teacher, student, finetuned or control", role)
	}
	t.Rejected = r.refused
	return t, err
}

func (r *run) needTeachers(ctx context.Context, folds []int) ([]TrainedModel, error) {
	if err := r.needPrepared(ctx, cases.Labelled); err != nil {
		return nil, err
	}
	return r.train(ctx, folds, len(r.splits), func(fold int) (fit.Job, error) {
		return r.job(fit.Teacher, fold, r.splits[fold].Train), nil
	})
}

func (r *run) needControls(ctx context.Context, folds []int) ([]TrainedModel, error) {
	if err := r.needPrepared(ctx, cases.Labelled); err != nil {
		return nil, err
	}
	return r.train(ctx, folds, r.studentFolds(), func(fold int) (fit.Job, error) {
		return r.job(fit.Control, fold, r.studentCases(fold)), nil
	})
}

// studentFolds is how many students there are: one where all see the same cases.
func (r *run) studentFolds() int {
	if r.plan.Training.StudentAllLabels {
		return 1
	}
	return len(r.splits)
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
func (r *run) train(ctx context.Context, folds []int, count int, build func(fold int) (fit.Job, error)) ([]TrainedModel, error) {
	if len(folds) == 0 {
		for fold := range count {
			folds = append(folds, fold)
		}
	}
	var jobs []fit.Job
	for _, fold := range folds {
		if fold < 0 || fold >= count {
			return nil, fmt.Errorf("pipelines: no fold %d; there are 0 to %d", fold, count-1)
		}
		j, err := build(fold)
		if err != nil {
			return nil, err
		}
		if len(j.Labelled) == 0 {
			return nil, fmt.Errorf("pipelines: %s has no labelled case that could be prepared; see the rejected cases", j.Name())
		}
		jobs = append(jobs, j.Sealed())
	}
	return r.trainJobs(ctx, jobs)
}

func (r *run) trainJobs(ctx context.Context, jobs []fit.Job) ([]TrainedModel, error) {
	var missing []fit.Job
	before := make([]int64, len(jobs))
	var total, steps int64
	for i, j := range jobs {
		if r.Retrain {
			if err := fit.Discard(ctx, r.store, j); err != nil {
				return nil, err
			}
		}
		done, err := fit.Done(ctx, r.store, j)
		if err != nil {
			return nil, err
		}
		before[i] = done
		total += j.Steps()
		if done < j.Epochs {
			missing = append(missing, j)
		}
		steps = int64(j.Plan.Training.StepsPerEpoch)
	}
	if len(missing) > 0 {
		err := r.stage(ctx, "train "+string(jobs[0].Role), total, "step", func(ctx context.Context) (int64, error) {
			return r.stepsDone(ctx, jobs, steps)
		}, func(ctx context.Context) error {
			return r.submit(ctx, trainGraph(missing, r.fitOptions(len(missing))))
		})
		if err != nil {
			return nil, err
		}
	} else {
		r.progress.Note(fmt.Sprintf("train %s: nothing to do, %d models are trained", jobs[0].Role, len(jobs)))
	}
	return r.trained(ctx, jobs, before)
}

func (r *run) stepsDone(ctx context.Context, jobs []fit.Job, steps int64) (int64, error) {
	var sum int64
	for _, j := range jobs {
		done, err := fit.Done(ctx, r.store, j)
		if err != nil {
			return 0, err
		}
		sum += done * steps
	}
	return sum, nil
}

func (r *run) trained(ctx context.Context, jobs []fit.Job, before []int64) ([]TrainedModel, error) {
	var out []TrainedModel
	for i, j := range jobs {
		history, err := fit.History(ctx, r.store, j.Folder())
		if err != nil {
			return nil, err
		}
		if int64(len(history)) < j.Epochs {
			return nil, fmt.Errorf("pipelines: %s ended after %d of %d epochs", j.Name(), len(history), j.Epochs)
		}
		last := history[len(history)-1]
		out = append(out, TrainedModel{Role: j.Role, Fold: j.Fold, Epochs: j.Epochs, Loss: last.Loss, New: j.Epochs - before[i], Waited: last.Waited})
	}
	return out, nil
}

// fitOptions divides the machine among jobs that train at once: small networks
// run best with one thread each.
func (r *run) fitOptions(jobs int) fit.Options {
	threads := r.threads()
	at := min(jobs, threads)
	return fit.Options{Device: r.Device, Threads: threads / at, Jobs: at, Memory: r.memory()}
}

// trainGraph is the pipeline of some jobs.
func trainGraph(jobs []fit.Job, o fit.Options) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	fit.Jobs(s, o, beam.CreateList(s, encoded(jobs)))
	return p
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

// submit runs a pipeline where the options say.
func (r *run) submit(ctx context.Context, p *beam.Pipeline) error {
	return runners.Run(ctx, p, r.Runner)
}

// model is a trained model as predictions name it.
type model struct {
	Weights string // store key
	Digest  string
}

// modelOf returns a model that is trained to its end.
func (r *run) modelOf(ctx context.Context, role fit.Role, fold int) (model, error) {
	folder := fit.Folder(role, fold)
	latest, _, err := fit.ReadLatest(ctx, r.store, folder)
	if err != nil {
		return model{}, err
	}
	if !latest.Done {
		return model{}, fmt.Errorf("pipelines: %s is not trained; run `noisystudent train --role %s` first", r.store.Address(folder), role)
	}
	key, _, err := fit.WeightsKey(ctx, r.store, folder)
	return model{Weights: key, Digest: manifest.Digest("weights", latest.Inputs, latest.Epochs)}, err
}

// modelsOf returns a role's models, fold by fold.
func (r *run) modelsOf(ctx context.Context, role fit.Role, folds int) ([]model, error) {
	var out []model
	for fold := range folds {
		m, err := r.modelOf(ctx, role, fold)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// ensembleDigest names a set of models, whatever their order.
func ensembleDigest(models []model) string {
	digests := make([]string, len(models))
	for i, m := range models {
		digests[i] = m.Digest
	}
	slices.Sort(digests)
	return manifest.Digest("ensemble", digests)
}
