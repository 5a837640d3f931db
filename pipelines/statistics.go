package pipelines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/statistics"
)

// StatisticsRequest names labelled scans. Options.Dataset, where it is given, has the
// labelled cases that flags compare with.
type StatisticsRequest struct {
	Input  string // scans: a glob, a folder or a gs:// prefix
	Labels string // folder or gs:// prefix of <case>.nii.gz
}

// Measured is what statistics report.
type Measured struct {
	Cases    int               `json:"cases"`
	New      int               `json:"new"`      // that this run measured
	Compared bool              `json:"compared"` // with labelled cases
	Flags    []statistics.Flag `json:"flags"`
	Report   string            `json:"report"` // folder of statistics.csv, statistics.parquet and flags.csv
	Rejected []Rejected        `json:"rejected"`
}

// String lists the flags.
func (m Measured) String() string {
	var b strings.Builder
	for _, f := range m.Flags {
		fmt.Fprintf(&b, "%s: %s: %s: %s\n", f.Case, f.Organ, f.Kind, f.Message)
	}
	fmt.Fprintf(&b, "%d scans are measured%s, %d flags", m.Cases, made(m.Cases, m.New), len(m.Flags))
	if !m.Compared {
		b.WriteString("; to compare with labelled cases give --dataset once")
	}
	fmt.Fprintf(&b, "\nwritten to %s", m.Report)
	return b.String()
}

// Where measurings lie in a store, see statistics.Config.
const (
	measuredScans = "scans"
	measuredUsual = "labelled"
)

// Statistics measures the organs of labelled scans and flags what a person should
// look at. A scan without labels is rejected.
func Statistics(ctx context.Context, o Options, q StatisticsRequest) (Measured, error) {
	if q.Input == "" || q.Labels == "" {
		return Measured{}, misuse("nothing to measure; give --input, the scans, and --labels, the folder of their labels")
	}
	if err := o.reachable(q.Input, q.Labels); err != nil {
		return Measured{}, err
	}
	r, c, err := openStatistics(ctx, o)
	if err != nil {
		return Measured{}, err
	}
	list, err := r.labelled(ctx, q)
	if err != nil {
		return Measured{}, err
	}
	if r.dataset != nil {
		usual := c
		usual.Name = measuredUsual
		if _, err := r.measureScans(ctx, "statistics of labelled cases", usual, r.of(cases.Labelled)); err != nil {
			return Measured{}, err
		}
	}
	c.Name = measuredScans
	m, err := r.measuredScans(ctx, c, list)
	if err != nil {
		return Measured{}, err
	}
	m.Rejected = r.refused
	return m, nil
}

// measuredScans measures scans and compares them with the labelled cases, where those
// were measured before.
func (r *run) measuredScans(ctx context.Context, c statistics.Config, list []cases.Case) (Measured, error) {
	_, err := r.store.Stat(ctx, statistics.ReferenceKey(measuredUsual))
	switch {
	case err == nil:
		c.Reference = measuredUsual
	case !errors.Is(err, fs.ErrNotExist):
		return Measured{}, err
	}
	done, err := r.measureScans(ctx, "statistics", c, list)
	if err != nil {
		return Measured{}, err
	}
	m := Measured{Cases: len(done.good), New: len(done.fresh), Compared: c.Reference != "", Flags: []statistics.Flag{}, Report: r.store.Address(statistics.ReportFolder(c.Name)), Rejected: []Rejected{}}
	_, err = r.readJSON(ctx, path.Join(statistics.ReportFolder(c.Name), "flags.json"), &m.Flags)
	return m, err
}

// openStatistics opens a run and says which organs are measured: those of the
// dataset, else those of the plan.
func openStatistics(ctx context.Context, o Options) (*run, statistics.Config, error) {
	if o.Dataset != "" {
		r, err := openDataset(ctx, o)
		if err != nil {
			return nil, statistics.Config{}, err
		}
		return r, statistics.Config{Store: r.store.Root(), Labels: r.dataset.Labels, Ignore: r.dataset.Ignore, BudgetBytes: r.memory()}, nil
	}
	r, err := open(ctx, o)
	if err != nil {
		return nil, statistics.Config{}, err
	}
	if r.plan, err = plan.Load(ctx, r.store); err != nil {
		return nil, statistics.Config{}, fmt.Errorf("%w; or name the organs with --dataset", err)
	}
	return r, statistics.Config{Store: r.store.Root(), Labels: r.plan.Labels, Ignore: r.plan.Ignore, BudgetBytes: r.memory()}, nil
}

// labelled pairs scans with labels by case.
func (r *run) labelled(ctx context.Context, q StatisticsRequest) ([]cases.Case, error) {
	scans, refused, err := cases.Scans(ctx, q.Input)
	if err != nil {
		return nil, err
	}
	labels, unusable, err := masks(ctx, q.Labels)
	if err != nil {
		return nil, err
	}
	refused = append(refused, unusable...)
	var list []cases.Case
	for _, c := range scans {
		if c.Labels = labels[c.ID]; c.Labels == "" {
			fault := &cases.Fault{Kind: cases.Missing, File: c.Image, Remedy: "predict the scan first", Err: fmt.Errorf("%s has no labels of it", q.Labels)}
			x, _ := cases.Reject(c.ID, "statistics", fault)
			refused = append(refused, x)
			continue
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("pipelines: statistics: no scan of %s has labels in %s", q.Input, q.Labels)
	}
	return list, r.refuseFiles(ctx, "statistics", refused)
}

// masks returns the addresses of a folder's label files by case.
func masks(ctx context.Context, folder string) (map[string]string, []cases.Rejected, error) {
	list, refused, err := cases.Masks(ctx, folder)
	labels := map[string]string{}
	for _, c := range list {
		labels[c.ID] = c.Labels
	}
	return labels, refused, err
}

func (r *run) measureScans(ctx context.Context, name string, c statistics.Config, list []cases.Case) (outcome, error) {
	done, err := r.over(ctx, caseWork{
		name: name, ledger: c.Stage(), list: list,
		graph: func(context.Context, map[string]bool) *beam.Pipeline { return statisticsGraph(c, list) },
	})
	if err == nil && len(done.good) == 0 {
		err = fmt.Errorf("pipelines: %s: none of %d scans could be measured: %s", name, len(list), r.refused[len(r.refused)-1].Message)
	}
	return done, err
}

func statisticsGraph(c statistics.Config, list []cases.Case) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	rows, rejected := statistics.Cases(s, c, beam.CreateList(s, list))
	read(s, statistics.Report(s, c, rows), rejected)
	return p
}
