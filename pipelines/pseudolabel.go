package pipelines

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/pseudo"
)

// round of pseudo-labels: the first teachers' are round 1.
const round = 1

// Pseudolabelled is what pseudo-labelling reports.
type Pseudolabelled struct {
	PseudoCounts
	Rejected []Rejected `json:"rejected"`
}

// String says what was done.
func (p Pseudolabelled) String() string {
	return fmt.Sprintf("%d cases are pseudo-labelled; %d kept, %d dropped", p.Kept+p.Dropped, p.Kept, p.Dropped)
}

// Pseudolabel labels the unlabelled cases with the teachers' ensemble, after training them where that is missing.
func Pseudolabel(ctx context.Context, o Options) (Pseudolabelled, error) {
	r, err := openDataset(ctx, o)
	if err != nil {
		return Pseudolabelled{}, err
	}
	if err := r.needPlan(ctx); err != nil {
		return Pseudolabelled{}, err
	}
	if _, err := r.needPseudoLabels(ctx); err != nil {
		return Pseudolabelled{}, err
	}
	return Pseudolabelled{r.pseudo, r.refused}, nil
}

// needPseudoLabels labels the pool and returns what a student may learn from.
func (r *run) needPseudoLabels(ctx context.Context) ([]fit.Ref, error) {
	pool := r.of(cases.Unlabelled)
	if len(pool) == 0 {
		return nil, fmt.Errorf("pipelines: %s has no unlabelled scans in imagesUn; add some, or name them with --unlabelled-scans", r.Dataset)
	}
	if err := r.needPrepared(ctx, cases.Labelled, cases.Unlabelled); err != nil {
		return nil, err
	}
	if _, err := r.needTeachers(ctx, nil); err != nil {
		return nil, err
	}
	models, err := r.modelsOf(ctx, fit.Teacher, len(r.splits))
	if err != nil {
		return nil, err
	}
	c := pseudo.Config{Config: r.config(models, len(pool)), Round: round}
	var list []pseudo.Prepared
	var asked []cases.Case
	for _, x := range pool {
		if p, ok := r.prepared[x.ID]; ok {
			list = append(list, pseudo.Prepared{Case: x.ID, Prefix: p.folder, Digest: p.digest})
			asked = append(asked, x)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("pipelines: none of %d unlabelled scans could be prepared; see the rejected cases", len(pool))
	}
	stage := pseudo.Stage(round)
	err = r.stage(ctx, "pseudolabel", int64(len(list)), "case", r.rowsOf(stage, asked), func(ctx context.Context) error {
		return r.submit(ctx, pseudolabelGraph(c, list))
	})
	if err != nil {
		return nil, err
	}
	good, err := r.settle(ctx, stage, asked)
	if err != nil {
		return nil, err
	}
	return r.selectLabels(ctx, good)
}

// selectLabels applies the selection and gives the student's cases.
func (r *run) selectLabels(ctx context.Context, good []cases.Case) ([]fit.Ref, error) {
	var notes []pseudo.Note
	for _, c := range good {
		n, err := pseudo.ReadNote(ctx, r.store, round, c.ID)
		if err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	s := pseudo.Select(notes, pseudo.Rule{})
	if err := pseudo.WriteSelection(ctx, r.store, round, s); err != nil {
		return nil, err
	}
	r.pseudo = PseudoCounts{Kept: len(s.Kept), Dropped: len(s.Dropped)}
	rows, err := manifest.Rows(ctx, r.store, pseudo.Stage(round))
	if err != nil {
		return nil, err
	}
	var refs []fit.Ref
	for _, id := range s.Kept {
		refs = append(refs, fit.Ref{Case: id, Prepared: r.prepared[id].folder, Labels: pseudo.Prefix(round, id), Digest: rows[id].Key()})
	}
	return refs, nil
}

func pseudolabelGraph(c pseudo.Config, list []pseudo.Prepared) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	pseudo.Labels(s, c, beam.CreateList(s, list))
	return p
}

// config is how the run's plan and some models label that many cases.
func (r *run) config(models []model, count int) predict.Config {
	threads := r.threads()
	at := max(min(count, threads), 1)
	c := predict.Config{
		Store: r.store.Root(), Plan: r.plan,
		Options: predict.Options{Device: r.Device, Threads: threads / at, Networks: at, Memory: r.memory()},
	}
	for _, m := range models {
		c.Models = append(c.Models, predict.ModelRef{Weights: m.Weights, Digest: m.Digest})
	}
	return c
}
