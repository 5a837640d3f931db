package pipelines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/io/store"
	"noisystudent/runners"
	"noisystudent/transforms/phantom"
)

// PhantomRequest says which cohort to make and where.
type PhantomRequest struct {
	Out     string
	Options phantom.Options
}

// Cohort is what making a cohort gives.
type Cohort struct {
	Out   string `json:"out"`
	Cases int    `json:"cases"`
	New   bool   `json:"new"` // false: it was there
	took  time.Duration
}

// String says what was made.
func (c Cohort) String() string {
	if !c.New {
		return fmt.Sprintf("%s holds this cohort of %d cases already; nothing to do", c.Out, c.Cases)
	}
	return fmt.Sprintf("%s: %d synthetic cases", c.Out, c.Cases)
}

// cohortFile records what a cohort is made from. It is the first file of a cohort,
// so that no other dataset is ever written over, and is marked when all is there.
const cohortFile = "phantom.json"

type cohortRecord struct {
	Options  phantom.Options `json:"options"`
	Complete bool            `json:"complete"`
}

// recordOf leaves out where a cohort lies: a folder may be moved.
func recordOf(o phantom.Options, complete bool) cohortRecord {
	o.Out = ""
	return cohortRecord{o, complete}
}

// Phantom makes a synthetic cohort, once.
func Phantom(ctx context.Context, o Options, q PhantomRequest) (Cohort, error) {
	if q.Out == "" {
		return Cohort{}, misuse("no folder for the cohort; give --out=DIR")
	}
	q.Options.Out = q.Out
	if err := q.Options.Check(); err != nil {
		return Cohort{}, &UsageError{err.Error()}
	}
	if err := errors.Join(o.check(), o.reachable(q.Out, q.Options.CT, q.Options.Labels)); err != nil {
		return Cohort{}, err
	}
	if err := readable(ctx, q.Options.CT, q.Options.Labels); err != nil {
		return Cohort{}, err
	}
	st, err := store.Open(ctx, q.Out)
	if err != nil {
		return Cohort{}, err
	}
	q.Options.Out = st.Root()
	c := Cohort{Out: st.Root(), Cases: len(q.Options.Tasks())}
	if o.Progress == nil {
		o.Progress = silent{}
	}
	if complete, err := claim(ctx, st, q.Options); err != nil {
		return c, err
	} else if complete {
		o.Progress.Note(c.String())
		return c, nil
	}
	return c.make(ctx, st, o, q.Options)
}

// readable refuses files that cannot be opened before a folder is claimed for what is
// to be made of them; empty addresses are none.
func readable(ctx context.Context, addresses ...string) error {
	for _, address := range addresses {
		if address == "" {
			continue
		}
		f, err := store.OpenAddress(ctx, address)
		if err != nil {
			return fmt.Errorf("pipelines: phantom: %w; check --from", err)
		}
		f.Close()
	}
	return nil
}

// claim records what a folder's cohort is to be made from. It tells whether it has
// been made.
func claim(ctx context.Context, st *store.Store, wanted phantom.Options) (complete bool, err error) {
	data, err := st.Read(ctx, cohortFile)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := st.Stat(ctx, "dataset.json"); !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("pipelines: phantom: %s holds a dataset that was not made here; choose another --out", st.Root())
		}
		return false, writeJSON(ctx, st, cohortFile, recordOf(wanted, false))
	}
	if err != nil {
		return false, err
	}
	var had cohortRecord
	if err := json.Unmarshal(data, &had); err != nil || recordOf(had.Options, false) != recordOf(wanted, false) {
		return false, fmt.Errorf("pipelines: phantom: %s holds another cohort; choose another --out", st.Root())
	}
	return had.Complete, nil
}

// make writes the cases and marks the cohort as complete.
func (c Cohort) make(ctx context.Context, st *store.Store, o Options, q phantom.Options) (Cohort, error) {
	start := time.Now()
	s := stage{name: "phantom", unit: "case", total: int64(c.Cases), done: func(ctx context.Context) (int64, error) { return countImages(ctx, st) }}
	_, _, err := s.follow(ctx, o.Progress, func(ctx context.Context) (tally, error) {
		return tally{added: s.total}, runners.Run(ctx, phantomGraph(q), o.runnerFor("phantom", false))
	})
	if err != nil {
		return c, err
	}
	c.New, c.took = true, time.Since(start)
	return c, writeJSON(ctx, st, cohortFile, recordOf(q, true))
}

func phantomGraph(o phantom.Options) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	written, described := phantom.Cohort(s, o)
	read(s, written, described)
	return p
}

func countImages(ctx context.Context, st *store.Store) (int64, error) {
	var n int64
	for _, folder := range []string{"imagesTr/", "imagesUn/", phantom.ValidationImages + "/", "imagesTs/"} {
		infos, err := st.List(ctx, folder)
		if err != nil {
			return 0, err
		}
		n += int64(len(infos))
	}
	return n, nil
}
