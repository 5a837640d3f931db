package pipelines

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"noisystudent/transforms/predict"
)

// straggling is how many times its predicted seconds a case takes to be worth a word.
const straggling = 1.5

// stragglers tells how fast cases are labelled, and which one took longest against what
// its size foretells. It follows the records that are written from now on.
func (r *run) stragglers(ctx context.Context, stage string) (func(context.Context) string, error) {
	prefix := predict.TookPrefix(stage)
	known := map[string]int64{}
	infos, err := r.store.List(ctx, prefix)
	for _, i := range infos {
		known[i.Key] = i.Generation
	}
	var list []predict.Took
	return func(ctx context.Context) string {
		infos, err := r.store.List(ctx, prefix)
		if err != nil {
			return "" // the work itself shows what is wrong
		}
		for _, i := range infos {
			if known[i.Key] == i.Generation {
				continue
			}
			var t predict.Took
			if data, err := r.store.Read(ctx, i.Key); err == nil && json.Unmarshal(data, &t) == nil && t.Passes > 0 {
				list = append(list, t)
			}
			known[i.Key] = i.Generation
		}
		return slowest(list)
	}, err
}

// slowest describes what cases took: seconds a pass, the median, and the worst of the
// stragglers.
func slowest(list []predict.Took) string {
	if len(list) == 0 {
		return ""
	}
	rates := make([]float64, len(list))
	for i, t := range list {
		rates[i] = t.Seconds / t.Passes
	}
	slices.Sort(rates)
	rate := rates[len(rates)/2]
	text := fmt.Sprintf("%.3g s a pass", rate)
	worst, factor := predict.Took{}, straggling
	for _, t := range list {
		if f := t.Seconds / t.Passes / rate; f > factor {
			worst, factor = t, f
		}
	}
	if worst.Case != "" {
		text += fmt.Sprintf(", slowest %s: %.3g s, predicted %.3g s", worst.Case, worst.Seconds, worst.Passes*rate)
	}
	return text
}
