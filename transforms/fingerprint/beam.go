package fingerprint

import (
	"context"
	"encoding/json"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
)

func init() {
	register.DoFn4x1[context.Context, cases.Case, func(Facts), func(cases.Rejected), error](&caseFn{})
	register.DoFn2x2[context.Context, Facts, string, error](&summariseFn{})
	register.Combiner1[Facts](&mergeFn{})
	register.Emitter1[Facts]()
	register.Emitter1[cases.Rejected]()
	beam.RegisterCoder(reflect.TypeFor[Facts](), encodeFacts, decodeFacts)
	beam.RegisterType(reflect.TypeFor[cases.Case]())
	beam.RegisterType(reflect.TypeFor[cases.Rejected]())
}

// encodeFacts and decodeFacts keep Facts opaque to runners. Beam's own coder, of rows,
// writes structs within slices as Flink's runner in Java cannot read them.
func encodeFacts(f Facts) ([]byte, error) { return json.Marshal(f) }

func decodeFacts(data []byte) (f Facts, err error) { return f, json.Unmarshal(data, &f) }

// Collect measures a PCollection<cases.Case> of labelled cases. It writes
// fingerprint.json and gives its text, a singleton PCollection<string>, and the
// PCollection<cases.Rejected> of cases that could not be measured. Where none
// could, the pipeline fails.
func Collect(s beam.Scope, c Config, col beam.PCollection) (fingerprint, rejected beam.PCollection) {
	s = s.Scope("fingerprint.Collect")
	facts, rejected := beam.ParDo2(s, &caseFn{Config: c}, beam.Reshuffle(s, col))
	// Combining nothing gives no element; with an empty one there is always a summary, or its error.
	facts = beam.Flatten(s, facts, beam.Create(s, Facts{}))
	return beam.ParDo(s, &summariseFn{Config: c}, beam.Combine(s, &mergeFn{}, facts)), rejected
}

// caseFn measures one case.
type caseFn struct {
	Config   Config
	store    *store.Store
	outcomes manifest.Outcomes
}

func (f *caseFn) Setup(ctx context.Context) (err error) {
	f.outcomes = manifest.NewOutcomes("fingerprint")
	f.store, err = store.Open(ctx, f.Config.Store)
	return err
}

func (f *caseFn) ProcessElement(ctx context.Context, c cases.Case, emit func(Facts), reject func(cases.Rejected)) error {
	ctx = metrics.Begin(ctx)
	facts, row, err := Process(ctx, f.store, c, f.Config)
	if err != nil || !f.outcomes.Done(ctx, row, reject) {
		return err
	}
	emit(facts)
	return nil
}

// mergeFn merges facts; any order gives the same fingerprint.
type mergeFn struct{}

func (*mergeFn) CreateAccumulator() Facts           { return Facts{} }
func (*mergeFn) AddInput(a, b Facts) Facts          { return a.Merge(b) }
func (*mergeFn) MergeAccumulators(a, b Facts) Facts { return a.Merge(b) }
func (*mergeFn) ExtractOutput(a Facts) Facts        { return a }

// summariseFn turns the facts of all cases into the store's fingerprint.
type summariseFn struct{ Config Config }

func (f *summariseFn) ProcessElement(ctx context.Context, facts Facts) (string, error) {
	summary, err := Summarise(facts, f.Config.Orientation)
	if err != nil {
		return "", err
	}
	st, err := store.Open(ctx, f.Config.Store)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(summary)
	if err != nil {
		return "", err
	}
	return string(text), Save(ctx, st, summary)
}
