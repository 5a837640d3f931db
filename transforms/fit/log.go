package fit

import (
	"bytes"
	"encoding/json"

	"noisystudent/io/tfevents"
)

// The logs of a job lie beside its checkpoints. They are made whole from the history with
// every checkpoint, before latest moves: whatever was killed, no epoch is in them twice
// and none is missing.
func linesKey(folder string) string  { return folder + "/training.jsonl" }
func eventsKey(folder string) string { return folder + "/" + tfevents.Name }

// lines gives a line of JSON an epoch.
func lines(history []Epoch) ([]byte, error) {
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	for _, e := range history {
		if err := to.Encode(e); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// events gives the curves for TensorBoard, a point an epoch.
func events(history []Epoch) []byte {
	var list []tfevents.Scalar
	for _, e := range history {
		add := func(tag string, value float64) {
			list = append(list, tfevents.Scalar{Tag: tag, Step: e.Epoch, Time: e.At, Value: float32(value)})
		}
		add("loss/total", e.Loss)
		add("loss/dice", e.Dice)
		add("loss/ce", e.CE)
		add("training/learning_rate", e.Rate)
		add("training/gradient_norm", e.GradNorm)
		add("training/samples_per_second", e.Samples)
		add("training/skipped_steps", float64(e.Skipped))
		if e.Validated > 0 {
			add("dsc/pseudo", e.DSC)
			add("dsc/ema", e.EMA)
		}
	}
	began := 0.0
	if len(history) > 0 {
		began = max(history[0].At-history[0].Seconds, 0)
	}
	return tfevents.Encode(began, list)
}
