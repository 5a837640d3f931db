package score

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// measures is nnU-Net's eight numbers of a class by name.
type measures map[string]number

// number is a float64 that JSON may not know.
type number float64

// notANumber stands for NaN until the text is complete; encoding/json has none.
const notANumber = `"\u0000NaN"`

// MarshalJSON writes a placeholder for NaN.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) {
		return []byte(notANumber), nil
	}
	return json.Marshal(float64(n))
}

// perCase is one entry of metric_per_case.
type perCase struct {
	Metrics    map[string]measures `json:"metrics"` // by class
	Prediction string              `json:"prediction_file"`
	Reference  string              `json:"reference_file"`
}

// Summary gives nnU-Net's summary.json of rows: metric_per_case, mean by class and
// foreground_mean, each with Dice, FN, FP, IoU, TN, TP, n_pred and n_ref.
//
// It follows nnU-Net v2's compute_metrics_on_folder whatever the rules of the rows:
// Dice and IoU of a class absent in both are NaN (written as nnU-Net writes it,
// which strict JSON readers refuse), means by class leave NaN out, the
// foreground mean does not. Rows must share their organs.
func Summary(rows []Row) ([]byte, error) {
	rows = sorted(rows)
	cases := make([]perCase, len(rows))
	for i, r := range rows {
		cases[i] = perCase{map[string]measures{}, r.Prediction, r.Reference}
		for _, s := range r.Organs {
			cases[i].Metrics[strconv.Itoa(s.Label)] = measure(s.Voxels)
		}
	}
	mean := map[string]measures{}
	if len(rows) > 0 {
		for _, s := range rows[0].Organs {
			key := strconv.Itoa(s.Label)
			mean[key] = nanMean(cases, key)
		}
	}
	doc := map[string]any{"metric_per_case": cases, "mean": mean, "foreground_mean": plainMean(mean)}
	text, err := json.MarshalIndent(doc, "", "    ")
	if err != nil {
		return nil, fmt.Errorf("score: write summary: %w", err)
	}
	return append(bytes.ReplaceAll(text, []byte(notANumber), []byte("NaN")), '\n'), nil
}

func measure(v Voxels) measures {
	tp, fp, fn := number(v.TP), number(v.FP), number(v.FN)
	return measures{
		"TP": tp, "FP": fp, "FN": fn, "TN": number(v.TN), "n_pred": fp + tp, "n_ref": fn + tp,
		"Dice": 2 * tp / (2*tp + fp + fn), "IoU": tp / (tp + fp + fn), // 0/0 is NaN
	}
}

// nanMean averages a class over the cases, leaving NaN out; numpy.nanmean.
func nanMean(cases []perCase, key string) measures {
	sum, n := measures{}, measures{}
	for _, c := range cases {
		for name, v := range c.Metrics[key] {
			// A sum starts even where every value is NaN: 0/0 then is NaN again.
			if _, ok := sum[name]; !ok {
				sum[name], n[name] = 0, 0
			}
			if !math.IsNaN(float64(v)) {
				sum[name] += v
				n[name]++
			}
		}
	}
	for name := range sum {
		sum[name] /= n[name]
	}
	return sum
}

// plainMean averages the means of the classes; numpy.mean. It adds in the order
// of the file's keys, so that the last digit repeats.
func plainMean(mean map[string]measures) measures {
	out := measures{}
	for label := range 256 {
		for name, v := range mean[strconv.Itoa(label)] {
			out[name] += v
		}
	}
	for name := range out {
		out[name] /= number(len(mean))
	}
	return out
}
