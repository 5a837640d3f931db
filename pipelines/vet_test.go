package pipelines

import (
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/vet"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fingerprint"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/incoming"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/pseudo"
	"noisystudent/transforms/resample"
	"noisystudent/transforms/score"
	"noisystudent/transforms/shard"
)

// TestVet holds every graph to Beam's own check: all functions and types are
// registered, so that a worker in another process finds them, without reflection.
func TestVet(t *testing.T) {
	list := []cases.Case{{ID: "a", Set: cases.Labelled}}
	for name, graph := range map[string]*beam.Pipeline{
		"phantom":     phantomGraph(phantom.Options{Out: "mem://vet", Labelled: 1}),
		"plan":        fingerprintGraph(fingerprint.Config{}, list),
		"preprocess":  preprocessGraph(resample.Options{}, list),
		"train":       trainGraph([]fit.Job{{Role: fit.Teacher, Epochs: 1}}, fit.Options{}),
		"train whole": trainGraph([]fit.Job{{Role: fit.Teacher, Epochs: 1}}, fit.Options{Whole: true}),
		"pseudolabel": pseudolabelGraph(pseudo.Config{}, shard.Deal([]pseudo.Prepared{{Case: "a"}}, []float64{1}, 1)),
		"predict":     predictGraph(predict.Config{}, shard.Deal(list, make([]float64, len(list)), 2)),
		"calibrate":   calibrationGraph(predict.Config{}, []predict.Prepared{{Case: "a"}}),
		"reprocess":   reprocessGraph("{}", []incoming.Group{{}}),
		"watch":       watchGraph("{}", time.Second, time.Now()),
		"evaluate":    scoreGraph(score.Config{Name: "vet"}, []score.Pair{{Case: "a"}}),
	} {
		if _, err := vet.Execute(t.Context(), graph); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		allRead(t, name, graph)
	}
}
