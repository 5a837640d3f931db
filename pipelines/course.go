package pipelines

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"noisystudent/transforms/fit"
)

// Course is how the training of a model went, over all its epochs and whoever ran
// them. Rates are means over time.
type Course struct {
	Role    fit.Role `json:"role"`
	Fold    int      `json:"fold"`
	Epochs  int64    `json:"epochs"`
	Loss    float64  `json:"loss"`    // mean over the last epoch
	Skipped int64    `json:"skipped"` // steps that were not finite and changed nothing
	Samples float64  `json:"samples_per_second"`
	Waited  float64  `json:"waited"` // part of the time spent waiting for patches
	// EMA is the moving average of the pseudo-DSC at the end, and Best after how many epochs
	// it was highest: that checkpoint is kept. 0: nothing was validated.
	EMA  float64 `json:"ema_dsc,omitempty"`
	Best int64   `json:"best,omitempty"`
}

// courseOf sums up a history of at least one epoch.
func courseOf(j fit.Job, history []fit.Epoch) Course {
	c := Course{Role: j.Role, Fold: j.Fold, Epochs: int64(len(history)), Loss: history[len(history)-1].Loss}
	c.EMA, c.Best = fit.Best(history)
	var seconds float64
	for _, e := range history {
		seconds += e.Seconds
		c.Skipped += e.Skipped
		c.Samples += e.Samples * e.Seconds
		c.Waited += e.Waited * e.Seconds
	}
	seconds = max(seconds, 1e-9)
	c.Samples, c.Waited = c.Samples/seconds, c.Waited/seconds
	return c
}

// pseudo says what the patches of validation cases gave.
func (c Course) pseudo() string {
	if c.Best == 0 {
		return ""
	}
	return fmt.Sprintf(", pseudo-DSC %.3f, best after %d", c.EMA, c.Best)
}

// pace is what people read of models in training.
func pace(list []Course) string {
	if len(list) == 0 {
		return ""
	}
	samples, waited, skipped := 0.0, 0.0, int64(0)
	for _, c := range list {
		samples, waited, skipped = samples+c.Samples, waited+c.Waited, skipped+c.Skipped
	}
	n := float64(len(list))
	text := fmt.Sprintf("%.1f samples/s a model, %.1f %% of the time waiting for data", samples/n, 100*waited/n)
	if skipped > 0 {
		text += fmt.Sprintf(", %d steps skipped", skipped)
	}
	return text
}

// watch tells the pace of jobs by their histories, and warns when steps were skipped.
func (r *run) watch(jobs []fit.Job) func(context.Context) string {
	warned := make([]int64, len(jobs))
	return func(ctx context.Context) string {
		var list []Course
		for i, j := range jobs {
			history, err := fit.History(ctx, r.store, j.Folder())
			if err != nil || len(history) == 0 {
				continue // the work itself shows what is wrong
			}
			c := courseOf(j, history)
			if c.Skipped > warned[i] {
				warned[i] = c.Skipped
				r.progress.Note(fmt.Sprintf("warning: %s: %d steps skipped up to epoch %d, their gradients were not finite", j.Name(), c.Skipped, c.Epochs))
			}
			list = append(list, c)
		}
		return pace(list)
	}
}

// courses are those of all models that this run has met, by role and fold.
func (r *run) courses() []Course {
	list := []Course{}
	for _, m := range r.models {
		list = append(list, m.Course)
	}
	order := []fit.Role{fit.Teacher, fit.Student, fit.Finetuned, fit.Control}
	slices.SortFunc(list, func(a, b Course) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Role), slices.Index(order, b.Role)), cmp.Compare(a.Fold, b.Fold))
	})
	return list
}

// skippedText names the models with skipped steps, or is empty.
func skippedText(list []Course) string {
	var found []string
	for _, c := range list {
		if c.Skipped > 0 {
			found = append(found, fmt.Sprintf("%s fold %d (%d)", c.Role, c.Fold, c.Skipped))
		}
	}
	if found == nil {
		return ""
	}
	return "warning: steps skipped, their gradients were not finite: " + strings.Join(found, ", ")
}
