package pipelines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

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
}

// String says what was made.
func (c Cohort) String() string {
	if !c.New {
		return fmt.Sprintf("%s holds this cohort of %d cases already; nothing to do", c.Out, c.Cases)
	}
	return fmt.Sprintf("%s: %d synthetic cases", c.Out, c.Cases)
}

// cohortFile records what a cohort was made from; it is written last.
const cohortFile = "phantom.json"

// Phantom makes a synthetic cohort, once.
func Phantom(ctx context.Context, o Options, q PhantomRequest) (Cohort, error) {
	q.Options.Out = q.Out
	if err := q.Options.Check(); err != nil {
		return Cohort{}, err
	}
	st, err := store.Open(ctx, q.Out)
	if err != nil {
		return Cohort{}, err
	}
	q.Options.Out = st.Root()
	c := Cohort{Out: st.Root(), Cases: len(q.Options.Tasks())}
	wanted, err := json.MarshalIndent(q.Options, "", " ")
	if err != nil {
		return c, fmt.Errorf("pipelines: phantom: %w", err)
	}
	progress := o.Progress
	if progress == nil {
		progress = silent{}
	}
	switch had, err := st.Read(ctx, cohortFile); {
	case err == nil && string(had) == string(wanted):
		progress.Note(c.String())
		return c, nil
	case err == nil:
		return c, fmt.Errorf("pipelines: phantom: %s holds another cohort; choose another --out", c.Out)
	case !errors.Is(err, fs.ErrNotExist):
		return c, err
	}
	c.New = true
	count := func(ctx context.Context) (int64, error) { return countImages(ctx, st) }
	err = follow(ctx, progress, "phantom", int64(c.Cases), "case", count, func(ctx context.Context) error {
		return runners.Run(ctx, phantomGraph(q.Options), o.Runner)
	})
	if err != nil {
		return c, err
	}
	return c, st.Write(ctx, cohortFile, wanted)
}

func phantomGraph(o phantom.Options) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	phantom.Cohort(s, o)
	return p
}

func countImages(ctx context.Context, st *store.Store) (int64, error) {
	var n int64
	for _, folder := range []string{"imagesTr/", "imagesUn/", "imagesTs/"} {
		infos, err := st.List(ctx, folder)
		if err != nil {
			return 0, err
		}
		n += int64(len(infos))
	}
	return n, nil
}
