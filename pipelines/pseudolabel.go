package pipelines

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/pseudo"
	"noisystudent/transforms/shard"
)

// round of pseudo-labels: the first teachers' are round 1.
const round = 1

// Pseudolabelled is what pseudo-labelling reports.
type Pseudolabelled struct {
	PseudoCounts
	New      int        `json:"new"` // that this run labelled
	Rejected []Rejected `json:"rejected"`
}

// String says what was done.
func (p Pseudolabelled) String() string {
	there := p.Kept + p.Dropped
	return fmt.Sprintf("%d pseudo-labels kept, %d dropped%s", p.Kept, p.Dropped, made(there, p.New))
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
	r.pseudo.Rejected = r.refused
	return r.pseudo, nil
}

// needPseudoLabels labels the pool and returns what a student may learn from.
func (r *run) needPseudoLabels(ctx context.Context) ([]fit.Ref, error) {
	if r.pool != nil {
		return r.pool, nil
	}
	pool := r.of(cases.Unlabelled)
	if len(pool) == 0 {
		return nil, noPool("%s has no unlabelled scans in imagesUn that can be used; add some, or name them with --unlabelled-scans; `noisystudent train --role control` trains on the labelled cases alone", r.Dataset)
	}
	if err := r.needPrepared(ctx, cases.Labelled, cases.Unlabelled); err != nil {
		return nil, err
	}
	usable, list := r.preparedOf(pool)
	if len(list) == 0 { // before teachers are trained for nothing
		return nil, noPool("none of %d unlabelled scans could be prepared; see the rejected cases in %s", len(pool), r.store.Address("ledger/preprocess"))
	}
	if _, err := r.needTeachers(ctx, nil); err != nil {
		return nil, err
	}
	models, err := r.modelsOf(ctx, fit.Teacher, len(r.splits))
	if err != nil {
		return nil, err
	}
	o, err := r.pseudolabel(ctx, usable, list, models)
	if err != nil {
		return nil, err
	}
	return r.selectLabels(ctx, o)
}

// noPoolError says why there is nothing for a student to learn from beside the labelled
// cases.
type noPoolError struct{ text string }

func (e *noPoolError) Error() string { return e.text }

func noPool(format string, a ...any) error {
	return &noPoolError{"pipelines: " + fmt.Sprintf(format, a...)}
}

// allDropped is the error of a selection that kept nothing.
func allDropped(st *store.Store, n int) error {
	return noPool("all %d pseudo-labels were dropped, see %s; select less strictly, or train the teachers longer; `noisystudent train --role control` trains on the labelled cases alone", n, st.Address(fmt.Sprintf("pseudo/%d/selection.json", round)))
}

// preparedOf keeps those cases of a pool that are prepared, and says where they are.
func (r *run) preparedOf(pool []cases.Case) (kept []cases.Case, list []pseudo.Prepared) {
	for _, x := range pool {
		if p, ok := r.prepared[x.ID]; ok {
			list = append(list, pseudo.Prepared{Case: x.ID, Prefix: p.folder, Digest: p.digest})
			kept = append(kept, x)
		}
	}
	return kept, list
}

// pseudolabel labels prepared cases.
func (r *run) pseudolabel(ctx context.Context, pool []cases.Case, list []pseudo.Prepared, models []model) (outcome, error) {
	config, err := r.config(ctx, models, len(list))
	if err != nil {
		return outcome{}, err
	}
	c := pseudo.Config{Config: config, Round: round}
	return r.over(ctx, caseWork{
		name: "pseudolabel", ledger: pseudo.Stage(round), model: c.Digest(), network: true, list: pool,
		graph: func(ctx context.Context, standing map[string]bool) *beam.Pipeline {
			return pseudolabelGraph(c, deal(ctx, r, config, pool, list, standing))
		},
	})
}

// selectLabels applies the selection and gives the student's cases.
func (r *run) selectLabels(ctx context.Context, o outcome) ([]fit.Ref, error) {
	var notes []pseudo.Note
	for _, c := range o.good {
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
	r.pseudo = Pseudolabelled{PseudoCounts: PseudoCounts{Kept: len(s.Kept), Dropped: len(s.Dropped)}, New: len(o.fresh)}
	for _, id := range s.Kept {
		r.pool = append(r.pool, fit.Ref{Case: id, Prepared: r.prepared[id].folder, Labels: pseudo.Prefix(round, id), Digest: o.rows[id].Key()})
	}
	if len(r.pool) == 0 {
		if len(s.Dropped) > 0 {
			return nil, allDropped(r.store, len(s.Dropped))
		}
		return nil, noPool("none of the unlabelled scans could be labelled; see the rejected cases in %s", r.store.Address("ledger/"+pseudo.Stage(round)))
	}
	return r.pool, nil
}

func pseudolabelGraph(c pseudo.Config, shards []shard.Shard) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	done, rejected := pseudo.Labels(s, c, beam.CreateList(s, encoded(shards)))
	read(s, done, rejected)
	return p
}

// config is how the run's plan and some models label that many cases.
func (r *run) config(ctx context.Context, models []model, count int) (predict.Config, error) {
	precision, err := r.precision(ctx, models)
	if err != nil {
		return predict.Config{}, err
	}
	return r.configAt(precision, models, count)
}

// configAt is config at a given precision.
func (r *run) configAt(precision string, models []model, count int) (predict.Config, error) {
	o, err := r.predictOptions(count, len(models))
	c := predict.Config{Store: r.store.Root(), Plan: r.plan, Options: o}
	c.Plan.Inference.Precision = precision
	for _, m := range models {
		c.Models = append(c.Models, predict.ModelRef{Weights: m.Weights, Digest: m.Digest})
	}
	return c, err
}
