package metrics

import (
	"context"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"

	"noisystudent/model/engine"
	"noisystudent/transforms/beamtest"
)

func init() { register.DoFn2x0[context.Context, string](&computeFn{}) }

func TestMain(m *testing.M) { beamtest.Main(m) }

// computeFn has its elements computed by the device that they name.
type computeFn struct{ devices Devices }

func (f *computeFn) Setup() { f.devices = NewDevices("test") }

func (f *computeFn) ProcessElement(ctx context.Context, device string) {
	f.devices.Report(ctx) // nothing was begun
	ctx = Begin(ctx)
	f.devices.Report(ctx) // nothing has computed
	On(ctx, device)
	f.devices.Report(ctx)
}

func TestDevices(t *testing.T) {
	before := cards
	defer func() { cards = before }()
	here, past := engine.CardUse{Busy: 60}, engine.CardUse{Busy: -1}
	here.Peak, past.Peak = 1<<33, 1<<30
	cards = func() map[int]engine.CardUse { return map[int]engine.CardUse{0: here, 1: past} }
	p, s := beam.NewPipelineWithRoot()
	beam.ParDo0(s, &computeFn{}, beam.Create(s, "cuda:0 a card", "cuda:0 a card", "cpu avx2"))
	result, err := prism.Execute(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, c := range result.Metrics().AllMetrics().Counters() {
		if c.Namespace() == "test" {
			counts[c.Name()] += c.Result()
		}
	}
	if len(counts) != 2 || counts["device.cuda:0 a card"] != 2 || counts["device.cpu avx2"] != 1 {
		t.Errorf("elements by device: %v", counts)
	}
	most, percent := int64(0), []int64{}
	for _, d := range result.Metrics().AllMetrics().Distributions() {
		switch d.Name() {
		case CardBytes:
			most = max(most, d.Result().Max)
		case CardPercent:
			percent = append(percent, d.Result().Min, d.Result().Max)
		}
	}
	if most != 1<<33 || len(percent) < 2 || percent[0] != 60 || percent[1] != 60 {
		t.Errorf("%d bytes at the most, busy for %v percent", most, percent)
	}
}
