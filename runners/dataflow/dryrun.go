package dataflow

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"
)

// DryRun is the error of a pipeline that was translated and not submitted.
type DryRun struct {
	Job   string // as JSON, what Dataflow would be asked for
	Model string // the pipeline in Beam's words, which is staged beside the binary
}

func (d *DryRun) Error() string { return "dataflow: dry run: nothing was submitted" }

// messages is Beam's log for the time of a dry run: the runner prints the job into it.
type messages struct {
	sync.Mutex
	text []string
}

func (m *messages) Log(_ context.Context, _ log.Severity, _ int, text string) {
	m.Lock()
	defer m.Unlock()
	m.text = append(m.text, text)
}

// dryRun translates a pipeline. Its context has ended, so that Beam does not look at the
// staging bucket, for which it would need network and credentials.
func dryRun(ctx context.Context, p *beam.Pipeline) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	var m messages
	log.SetLogger(&m)
	defer log.SetLogger(&log.Structural{}) // Beam's own from the start
	if _, err := dataflow.Execute(ctx, p); err != nil {
		return fmt.Errorf("dataflow: dry run: %w", err)
	}
	m.Lock()
	defer m.Unlock()
	if n := len(m.text); n > 1 && json.Valid([]byte(m.text[n-1])) {
		return &DryRun{Job: m.text[n-1], Model: m.text[n-2]}
	}
	return fmt.Errorf("dataflow: dry run: this version of Beam printed no job but %q", m.text)
}
