package pipelines

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/pseudo"
	"noisystudent/transforms/shard"
)

// ballot is a round of pseudo-labels: the first teachers' are round 1.
type ballot struct {
	round  int
	models []model
	outcome
}

// Pseudolabelled is what pseudo-labelling reports.
type Pseudolabelled struct {
	PseudoCounts
	New      int        `json:"new"` // that this run labelled
	Rejected []Rejected `json:"rejected"`
}

// String says what was done.
func (p Pseudolabelled) String() string {
	there := p.Kept + p.Dropped
	return p.PseudoCounts.String() + made(there, p.New)
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
	if usable, _ := r.preparedOf(pool); len(usable) == 0 { // before teachers are trained for nothing
		return nil, noPool("none of %d unlabelled scans could be prepared; see the rejected cases in %s", len(pool), r.store.Address("ledger/preprocess"))
	}
	if _, err := r.needTeachers(ctx, nil); err != nil {
		return nil, err
	}
	models, err := r.modelsOf(ctx, fit.Teacher, len(r.splits))
	if err != nil {
		return nil, err
	}
	for {
		if err := r.vote(ctx, pool, models); err != nil {
			return nil, err
		}
		if r.voted.round > r.plan.Pseudo.MoreRounds {
			return r.selectLabels(ctx)
		}
		if models, err = r.students(ctx); err != nil {
			return nil, err
		}
	}
}

// vote has models label the pool, in the round after the last.
func (r *run) vote(ctx context.Context, pool []cases.Case, models []model) (err error) {
	b := ballot{round: r.voted.round + 1, models: models}
	if b.outcome, err = r.pseudolabel(ctx, b, pool); err == nil {
		r.voted = b
	}
	return err
}

// students trains those of a round that is not the last, who become teachers.
func (r *run) students(ctx context.Context) ([]model, error) {
	pool, err := r.selectLabels(ctx)
	if err != nil {
		return nil, err
	}
	r.pool = nil // of a round that is not the last
	role := fit.Role(fmt.Sprintf("%s-%d", fit.Student, r.voted.round))
	_, err = r.train(ctx, role, nil, func(fold int) fit.Job {
		j := r.studentJob(pool)(fold)
		j.Role = role
		return j
	})
	if err != nil {
		return nil, err
	}
	return r.modelsOf(ctx, role, r.folds(role))
}

// noPoolError says why there is nothing for a student to learn from beside the labelled
// cases.
type noPoolError struct{ text string }

func (e *noPoolError) Error() string { return e.text }

func noPool(format string, a ...any) error {
	return &noPoolError{"pipelines: " + fmt.Sprintf(format, a...)}
}

// allDropped is the error of a selection that kept nothing.
func allDropped(st *store.Store, round, n int) error {
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

// pseudolabel labels those cases of a pool that are prepared.
func (r *run) pseudolabel(ctx context.Context, b ballot, pool []cases.Case) (outcome, error) {
	return r.label(ctx, b, caseWork{name: "pseudolabel", ledger: pseudo.Stage(b.round), list: pool}, r.asksDoubts())
}

// asksDoubts tells whether it is kept of every case where its teachers doubt.
func (r *run) asksDoubts() bool {
	return r.doubts || r.plan.Pseudo.ByDoubt()
}

// doubt finds where the teachers doubt some cases that they have labelled, in one more pass, unless that
// is known.
func (r *run) doubt(ctx context.Context, list []cases.Case) ([]cases.Case, error) {
	o, err := r.label(ctx, r.voted, caseWork{name: "doubts", ledger: pseudo.DoubtStage(r.voted.round), list: list}, true)
	return o.good, err
}

func (r *run) label(ctx context.Context, b ballot, w caseWork, doubts bool) (outcome, error) {
	usable, list := r.preparedOf(w.list)
	config, err := r.config(ctx, b.models, len(list))
	if err != nil {
		return outcome{}, err
	}
	config.Doubts = doubts
	c := pseudo.Config{Config: config, Round: b.round}
	w.model, w.network, w.list = c.Digest(), true, usable
	w.graph = func(ctx context.Context, standing map[string]bool) *beam.Pipeline {
		return pseudolabelGraph(c, deal(ctx, r, config, usable, list, standing))
	}
	return r.over(ctx, w)
}

// selectLabels applies the plan's selection and gives the student's cases.
func (r *run) selectLabels(ctx context.Context) ([]fit.Ref, error) {
	pool, s, err := r.selected(ctx, r.voted, r.plan.Pseudo)
	if err != nil {
		return nil, err
	}
	if err := pseudo.WriteSelection(ctx, r.store, r.voted.round, s); err != nil {
		return nil, err
	}
	if r.plan.Pseudo != (plan.Pseudo{}) {
		if err := r.store.Write(ctx, selectionReport, s.CSV(r.plan.Labels)); err != nil {
			return nil, err
		}
	}
	r.pool = pool
	r.pseudo = Pseudolabelled{PseudoCounts: countsOf(s), New: len(r.voted.fresh)}
	if len(r.pool) == 0 {
		if len(s.Dropped) > 0 {
			return nil, allDropped(r.store, r.voted.round, len(s.Dropped))
		}
		return nil, noPool("none of the unlabelled scans could be labelled; see the rejected cases in %s", r.store.Address("ledger/"+pseudo.Stage(r.voted.round)))
	}
	return r.pool, nil
}

// selectionReport lists what was kept and left out, and why, where the plan chooses.
const selectionReport = "report/pseudo_labels.csv"

// selected is what a rule leaves of the pseudo-labels of a round.
func (r *run) selected(ctx context.Context, of ballot, rule plan.Pseudo) (pool []fit.Ref, s pseudo.Selection, err error) {
	var notes []pseudo.Note
	var doubts []pseudo.Doubts
	for _, c := range of.good {
		n, err := pseudo.ReadNote(ctx, r.store, of.round, c.ID)
		if err != nil {
			return nil, s, err
		}
		notes = append(notes, n)
		if !rule.ByOrgan() {
			continue
		}
		d, err := pseudo.ReadDoubts(ctx, r.store, of.round, c.ID)
		if err != nil {
			return nil, s, err
		}
		doubts = append(doubts, d)
	}
	s = pseudo.Select(notes, doubts, pseudo.Rule(rule))
	for _, id := range s.Kept {
		ref := fit.Ref{Case: id, Prepared: r.prepared[id].folder, Labels: pseudo.Prefix(of.round, id), Digest: of.rows[id].Key(), Ignored: s.LeftOut(id)}
		if rule.ByVoxel() {
			ref.Certain = pseudo.CertainPrefix(of.round, id)
		}
		if rule.Soft {
			ref.Second = pseudo.SecondPrefix(of.round, id)
		}
		pool = append(pool, ref)
	}
	return pool, s, nil
}

// countsOf sums a selection up.
func countsOf(s pseudo.Selection) PseudoCounts {
	n := PseudoCounts{Kept: len(s.Kept), Dropped: len(s.Dropped)}
	for _, id := range s.Kept {
		n.Organs += len(s.LeftOut(id))
	}
	return n
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
