package pipelines

import (
	"context"
	"fmt"
	"math"
	"path"
	"slices"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/score"
)

// auto asks for 16 bits, bf16 on the CPU and fp16 on a card, where they were tried and
// change next to nothing. It is a way to label, not a decision of the plan: training
// follows the plan.
const auto = "auto"

// maxChange is how much 16 bits may change a model's DSC for auto to take them.
const maxChange = 0.001

// precisions are the values of Options.Precision.
func precisions() []string { return append(plan.Precisions(), auto) }

// precision is how exactly models label: as the plan says or, with auto, in 16 bits
// where each of them has passed its trial.
func (r *run) precision(ctx context.Context, models []model) (string, error) {
	if r.Precision != auto {
		return r.plan.Inference.Precision, nil
	}
	n, err := r.measured()
	if err != nil {
		return "", err
	}
	if len(n.reduced) == 0 {
		r.once(fmt.Sprintf("precision: %s has no bf16; it labels in fp32", n.device))
		return plan.FP32, nil
	}
	half := n.reduced[0]
	for _, m := range models {
		if good, err := r.try(ctx, m, half); err != nil || !good {
			return plan.FP32, err
		}
	}
	return half, nil
}

// tryAll makes the trials of models that have just been trained, for whoever labels
// with them later.
func (r *run) tryAll(ctx context.Context, trained []TrainedModel) error {
	for _, t := range trained {
		m, err := r.modelOf(ctx, t.Role, t.Fold)
		if err != nil {
			return err
		}
		if _, err := r.precision(ctx, []model{m}); err != nil {
			return err
		}
	}
	return nil
}

// trial is a model's mean foreground DSC on the validation cases of its fold, by
// nnU-Net's rule, in fp32 and in one precision of 16 bits, fp16 where FP16 is there:
// precision.json beside the model.
type trial struct {
	Digest string   `json:"digest"` // of the model and how it was applied
	Cases  int      `json:"cases"`
	FP32   float64  `json:"fp32_dsc"`
	BF16   *float64 `json:"bf16_dsc,omitempty"`
	FP16   *float64 `json:"fp16_dsc,omitempty"`
}

// half is the precision of 16 bits and its DSC.
func (t trial) half() (string, float64) {
	switch {
	case t.FP16 != nil:
		return plan.FP16, *t.FP16
	case t.BF16 != nil:
		return plan.BF16, *t.BF16
	}
	return plan.FP32, math.NaN()
}

func (t *trial) setHalf(precision string, dsc float64) {
	if precision == plan.FP16 {
		t.FP16 = &dsc
	} else {
		t.BF16 = &dsc
	}
}

func (t trial) good() bool {
	_, dsc := t.half()
	return math.Abs(dsc-t.FP32) <= maxChange
}

// String is what people read of a trial.
func (t trial) String() string {
	half, dsc := t.half()
	taken := plan.FP32
	if t.good() {
		taken = half
	}
	return fmt.Sprintf("DSC %.4f in %s, %.4f in fp32 on %d validation cases, a change of %+.4f; it labels in %s", dsc, half, t.FP32, t.Cases, dsc-t.FP32, taken)
}

// try tells whether a model may label in a precision of 16 bits, and says why. A trial that stands in
// the store is not made again. Without cases that the model has not learned from,
// which this run must know, the answer is no.
func (r *run) try(ctx context.Context, m model, half string) (bool, error) {
	name := fmt.Sprintf("%s fold %d", m.Role, m.Fold)
	key := path.Join(fit.Folder(m.Role, m.Fold), "precision.json")
	c, err := r.configAt(half, []model{m}, 1)
	if err != nil {
		return false, err
	}
	var t trial
	known, err := r.readJSON(ctx, key, &t)
	if err != nil {
		return false, err
	}
	if known && t.Digest == c.Digest() {
		r.clock.recall("precision")
		r.clock.recall("precision scores")
		r.once("precision: " + name + ": " + t.String())
		return t.good(), nil
	}
	list := r.unseen(m)
	if len(list) == 0 {
		r.once("precision: " + name + ": no validation cases to try " + half + " on; it labels in fp32")
		return false, nil
	}
	t = trial{Digest: c.Digest(), Cases: len(list)}
	if t.FP32, err = r.dscAt(ctx, plan.FP32, name, m, list); err != nil {
		return false, err
	}
	dsc, err := r.dscAt(ctx, half, name, m, list)
	if err != nil {
		return false, err
	}
	t.setHalf(half, dsc)
	r.once("precision: " + name + ": " + t.String())
	return t.good(), writeJSON(ctx, r.store, key, t)
}

// unseen are the validation cases of a model's fold that it has not learned from.
func (r *run) unseen(m model) []cases.Case {
	if r.dataset == nil || m.Fold >= len(r.splits) {
		return nil
	}
	learned := r.splits[m.Fold].Train
	if m.Role != fit.Teacher {
		learned = r.studentCases(m.Fold)
	}
	return slices.DeleteFunc(r.validation(m.Fold), func(c cases.Case) bool { return slices.Contains(learned, c.ID) })
}

// dscAt is a model's mean foreground DSC at a precision.
func (r *run) dscAt(ctx context.Context, precision, name string, m model, list []cases.Case) (float64, error) {
	c, err := r.configAt(precision, []model{m}, len(list))
	if err != nil {
		return 0, err
	}
	t, err := r.scoreConfig(ctx, "precision", name+" "+precision, list, c, score.NNUNet)
	return t.Mean.DSC, err
}
