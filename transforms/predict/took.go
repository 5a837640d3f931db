package predict

import (
	"context"
	"encoding/json"
	"fmt"

	"noisystudent/io/store"
)

// Took is what labelling a case has cost, and how sure it was: report/seconds/<stage>/<case>.json. No digest
// covers it. Cases that take longer than their passes foretell are stragglers.
type Took struct {
	Case    string  `json:"case"`
	Seconds float64 `json:"seconds"` // with a network, without waiting for one
	Passes  float64 `json:"passes"`  // see Config.Passes
	// Certainty is that of Result: how sure the models were of each class, and agreed.
	Certainty []float64 `json:"certainty,omitempty"`
}

// TookPrefix is where the records of a stage are.
func TookPrefix(stage string) string { return "report/seconds/" + stage + "/" }

// Record keeps what a case has cost.
func (t Took) Record(ctx context.Context, st *store.Store, stage string) error {
	data, err := json.Marshal(t)
	if err == nil {
		err = st.WriteCache(ctx, TookPrefix(stage)+t.Case+".json", append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("predict: record the seconds of %s: %w", t.Case, err)
	}
	return nil
}
