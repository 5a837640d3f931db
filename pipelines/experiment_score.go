package pipelines

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/pseudo"
	"noisystudent/transforms/score"
)

// RowResult is one row on the cases of one seed: means over its models, where it has
// several. Scores are by FLARE 2022's rules, 0..1.
type RowResult struct {
	Cases   []string     `json:"cases"`
	DSC     [][]float64  `json:"dsc"` // by case, then organ
	NSD     [][]float64  `json:"nsd"`
	Models  []score.Mean `json:"models"`     // each model's means
	Steps   int64        `json:"steps"`      // that trained what gives one prediction
	Seconds []float64    `json:"seconds"`    // that the network took, by case
	Sides   score.Sides  `json:"left_right"` // of all cases and models
}

// SeedResult is what one seed gives.
type SeedResult struct {
	Seed    uint64               `json:"seed"`
	Fold    int                  `json:"fold"` // that single models train on: the best student's
	Rows    map[string]RowResult `json:"rows"`
	Teacher []float64            `json:"validation_teacher"` // mean foreground DSC of each fold's validation cases, nnU-Net's rule
	Student []float64            `json:"validation_student"`
	Pseudo  PseudoQuality        `json:"pseudo_labels"`
	Filters []FilterQuality      `json:"filters,omitempty"` // where the truth is known
	Memory  map[string]int64     `json:"network_bytes"`     // of an inference tile, by row
}

// PseudoQuality says how good pseudo-labels are, where the truth is known.
type PseudoQuality struct {
	PseudoCounts
	DSC        float64 `json:"kept_dsc"` // mean over cases and organs, FLARE 2022's rules; 0: not known
	DroppedDSC float64 `json:"dropped_dsc"`
}

func (p PseudoQuality) String() string {
	text := fmt.Sprintf("%d pseudo-labels kept, DSC against the truth %.1f %%", p.Kept, 100*p.DSC)
	if p.Dropped > 0 {
		text += fmt.Sprintf("; %d dropped, %.1f %%", p.Dropped, 100*p.DroppedDSC)
	}
	return text
}

// compare scores all rows on the test cases and adds them to a comparison.
func (l *lab) compare(ctx context.Context, c *Comparison) error {
	list := l.testCases()
	if len(list) == 0 {
		return fmt.Errorf("pipelines: experiment: %s has no test cases with labels (imagesTs and labelsTs)", l.Dataset)
	}
	s := SeedResult{Seed: l.seed, Fold: l.best, Rows: map[string]RowResult{}, Memory: map[string]int64{}}
	for _, row := range l.rows {
		at := l
		if row.name == "full-width" {
			at = l.wide
		}
		result, organs, err := at.scoreRow(ctx, "test", row, list)
		if err != nil {
			return err
		}
		s.Rows[row.name], c.Organs = result, organs
		n, err := at.measured()
		if err != nil {
			return err
		}
		s.Memory[row.name] = n.infer
	}
	if err := l.crossValidate(ctx, &s); err != nil {
		return err
	}
	if err := l.judgePseudo(ctx, &s); err != nil {
		return err
	}
	c.Seeds = append(c.Seeds, s)
	for _, text := range l.remarks {
		c.note(text)
	}
	for _, x := range l.refused {
		c.note(fmt.Sprintf("rejected: %s (%s): %s", x.Case, x.Stage, x.Message))
	}
	return nil
}

// scoreRow labels cases with a row's models and scores them.
func (l *lab) scoreRow(ctx context.Context, stage string, row experimentRow, list []cases.Case) (out RowResult, organs []string, err error) {
	groups, err := l.modelsOfRow(ctx, row)
	if err != nil {
		return out, nil, err
	}
	for i, models := range groups {
		which := string(row.role())
		if len(groups) > 1 {
			which += fmt.Sprintf(" %d", i)
		}
		one, names, err := l.scoreModels(ctx, stage, which, row, list, models)
		if err != nil {
			return out, nil, err
		}
		organs = names
		if i > 0 {
			if one, err = out.plus(one); err != nil {
				return out, nil, fmt.Errorf("pipelines: experiment: %s: %w", row.name, err)
			}
		}
		out = one
	}
	out.divide(float64(len(groups)))
	return out, organs, nil
}

// scoreModels is scoreRow of models that vote.
func (l *lab) scoreModels(ctx context.Context, stage, which string, row experimentRow, list []cases.Case, models []model) (out RowResult, organs []string, err error) {
	if err := l.makeRoom(ctx, list); err != nil {
		return out, nil, err
	}
	config, err := l.config(ctx, models, len(list))
	if err != nil {
		return out, nil, err
	}
	if row.name == "full-width" || row.name == "low-footprint" {
		config.Plan.Inference.Export = "probabilities" // nnU-Net's own inference, as in the paper
	}
	table, err := l.scoreConfig(ctx, stage, which, list, config, score.FLARE22)
	if err != nil {
		return out, nil, err
	}
	scores := scoresOf(table)
	out.Models = []score.Mean{{DSC: scores.DSC, NSD: scores.NSD}}
	if table.Sides != nil {
		out.Sides = *table.Sides
	}
	for _, m := range models {
		folders := []string{fit.Folder(m.Role, m.Fold)}
		if m.Role == fit.Finetuned {
			folders = append(folders, fit.Folder(fit.Student, m.Fold))
		}
		for _, folder := range folders {
			history, err := fit.History(ctx, l.store, folder)
			if err != nil {
				return out, nil, err
			}
			out.Steps += int64(len(history)) * int64(l.plan.Training.StepsPerEpoch)
		}
	}
	name := strings.ReplaceAll(stage+" "+which, " ", "_")
	for _, c := range list {
		if err := l.addCase(ctx, &out, name, config.Stage(), c.ID, scores.order); err != nil {
			return out, nil, err
		}
	}
	return out, scores.order, nil
}

// addCase adds a case's scores and, of a stage that labelled it, its seconds, unless it
// was rejected.
func (l *lab) addCase(ctx context.Context, out *RowResult, name, stage, id string, organs []string) error {
	var row score.Row
	found, err := l.readJSON(ctx, path.Join("scores", name, id+".json"), &row)
	if err != nil || !found {
		return err
	}
	var dsc, nsd []float64
	for _, o := range row.Organs {
		for _, name := range organs {
			if o.Name == name {
				dsc, nsd = append(dsc, o.DSC), append(nsd, o.NSD)
			}
		}
	}
	var took predict.Took
	if stage != "" {
		if _, err := l.readJSON(ctx, predict.TookPrefix(stage)+id+".json", &took); err != nil {
			return err
		}
	}
	out.Cases, out.DSC, out.NSD = append(out.Cases, id), append(out.DSC, dsc), append(out.NSD, nsd)
	out.Seconds = append(out.Seconds, took.Seconds)
	return nil
}

// plus adds another model's scores of the same cases.
func (r RowResult) plus(o RowResult) (RowResult, error) {
	if strings.Join(r.Cases, "\n") != strings.Join(o.Cases, "\n") {
		return r, fmt.Errorf("its models have labelled %d and %d of the cases; mend the rejected ones, or take them out", len(r.Cases), len(o.Cases))
	}
	r.Models, r.Sides = append(r.Models, o.Models...), r.Sides.Plus(o.Sides)
	for i := range r.Cases {
		for k := range r.DSC[i] {
			r.DSC[i][k] += o.DSC[i][k]
			r.NSD[i][k] += o.NSD[i][k]
		}
		r.Seconds[i] += o.Seconds[i]
	}
	return r, nil
}

func (r *RowResult) divide(n float64) {
	for i := range r.Cases {
		for k := range r.DSC[i] {
			r.DSC[i][k] /= n
			r.NSD[i][k] /= n
		}
		r.Seconds[i] /= n
	}
}

// crossValidate scores teachers and students on the validation cases of their folds.
func (l *lab) crossValidate(ctx context.Context, s *SeedResult) error {
	if l.folds != nil || !l.wants("student") || len(plan.Cases(l.splits)) < 2 {
		return nil
	}
	for fold := range l.splits {
		for _, of := range []struct {
			role fit.Role
			to   *[]float64
		}{{fit.Teacher, &s.Teacher}, {fit.Student, &s.Student}} {
			m, err := l.modelOf(ctx, of.role, fold)
			if err != nil {
				return err
			}
			dsc, err := l.validate(ctx, fold, m)
			if err != nil {
				return err
			}
			*of.to = append(*of.to, dsc)
		}
	}
	return nil
}

// judgePseudo compares the pseudo-labels with the truth, where the cohort has it.
func (l *lab) judgePseudo(ctx context.Context, s *SeedResult) error {
	s.Pseudo.PseudoCounts = l.pseudo.PseudoCounts
	labels, err := l.masksOf(ctx, phantom.TruthFolder)
	if err != nil || len(l.pool) == 0 {
		return err
	}
	var selection pseudo.Selection
	if _, err := l.readJSON(ctx, fmt.Sprintf("pseudo/%d/selection.json", l.voted.round), &selection); err != nil {
		return err
	}
	var pairs []score.Pair
	for _, id := range slices.Concat(selection.Kept, selection.Dropped) {
		if address := labels[id]; address != "" {
			pairs = append(pairs, score.Pair{Case: id, Reference: address, Prediction: l.store.Address(fmt.Sprintf("pseudo/%d/%s.nii.gz", l.voted.round, id))})
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	const name = "pseudo"
	table, _, err := l.score(ctx, "pseudo-label scores", "", score.Config{
		Store: l.store.Root(), Name: name, BudgetBytes: l.memory(), Options: score.Options{Labels: l.plan.Labels},
	}, pairs)
	if err != nil {
		return err
	}
	if s.Filters, err = l.judgeFilters(ctx, name); err != nil {
		return err
	}
	organs := scoresOf(table).order
	if s.Pseudo.DSC, err = l.meanOver(ctx, name, selection.Kept, organs); err != nil {
		return err
	}
	s.Pseudo.DroppedDSC, err = l.meanOver(ctx, name, selection.Dropped, organs)
	return err
}

// meanOver is the mean DSC of cases of a scoring.
func (l *lab) meanOver(ctx context.Context, name string, list, organs []string) (float64, error) {
	var r RowResult
	for _, id := range list {
		if err := l.addCase(ctx, &r, name, "", id, organs); err != nil {
			return 0, err
		}
	}
	dsc, _ := r.means(-1)
	return dsc / 100, nil
}

// holdout are the cases of a set that nnU-Net's layout does not have.
func (l *lab) holdout(ctx context.Context, images, labels string) ([]cases.Case, error) {
	if there, err := l.holds(ctx, images); err != nil || !there {
		return nil, err
	}
	masks, err := l.masksOf(ctx, labels)
	if err != nil {
		return nil, err
	}
	found, refused, err := cases.Scans(ctx, l.folder(images))
	l.refuse(refused...)
	var out []cases.Case
	for _, c := range found {
		if c.Set, c.Labels = cases.Test, masks[c.ID]; c.Labels != "" {
			out = append(out, c)
		}
	}
	return out, err
}

// folder is an address in the dataset.
func (l *lab) folder(name string) string { return strings.TrimRight(l.Dataset, "/") + "/" + name }

// holds tells whether a folder of the dataset has files.
func (l *lab) holds(ctx context.Context, folder string) (bool, error) {
	st, err := store.Open(ctx, l.Dataset)
	if err != nil {
		return false, err
	}
	infos, err := st.List(ctx, folder+"/")
	return len(infos) > 0, err
}
