package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
	"noisystudent/transforms/phantom"
)

func experimentCommand(c *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "experiment",
		Short: "Repeat the paper's tables on a synthetic benchmark cohort, with controls",
		Example: `  noisystudent experiment paper-tables --budget 30m --out tables
  noisystudent experiment anchors --cohort flare-mini-hard --steps 2000 --out anchors`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(paperTablesCommand(c), anchorsCommand(c))
	return cmd
}

func paperTablesCommand(c *session) *cobra.Command {
	var q pipelines.ExperimentRequest
	var from string
	cmd := &cobra.Command{
		Use:   "paper-tables",
		Short: "The paper's Tables 1, 6 and 7 and a verdict on each of its claims",
		Long: `paper-tables trains every row of the paper's comparison and the controls that matter,
scores them on the test cases, which are read once, and prints the paper's tables with
its figures beside ours, and a line a claim: holds, fails or open, with the difference
and its 95 % interval.

Steps are counted from the budget before the start and kept in schedule.json; the same
command goes on where it was stopped. Rows may be added later with --rows: core is the
default, mix is 1:0, 1:1 and 1:7, beyond is what goes beyond the paper, each beside the
student of as many steps.

The cohort is synthetic: what a model scores on it says nothing about patients.`,
		Example: `  noisystudent experiment paper-tables --budget 30m --out tables
  noisystudent experiment paper-tables --budget 2h --out tables2h --rows core,full-width,mix`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			if err := fromScan(&q, from); err != nil {
				return nil, nil, usageError{err}
			}
			r, err := pipelines.PaperTables(ctx, o, q)
			return r, nil, err // rejected cases are among its notes
		}),
	}
	c.experimentFlags(cmd, &q, &from)
	f := cmd.Flags()
	f.IntVar(&q.Seeds, "seeds", 0, "training runs, seeds 1, 2, … (default 1, or 3 from a budget of an hour on)")
	f.StringSliceVar(&q.Rows, "rows", nil, "rows: "+strings.Join(pipelines.RowNames(), ", ")+" (default core)")
	return cmd
}

func anchorsCommand(c *session) *cobra.Command {
	var q pipelines.ExperimentRequest
	var from string
	cmd := &cobra.Command{
		Use:   "anchors",
		Short: "How hard a cohort is: a single teacher, and a student that is given the truth",
		Long: `anchors trains one teacher on the labelled cases, and a student that is given the true
labels of the unlabelled ones, and scores both on the cohort's validation cases. What a
method can gain on the cohort lies between the two. A control, the labelled cases for as
many steps as the student, says how much of that is the steps.`,
		Example: "  noisystudent experiment anchors --cohort flare-mini --steps 2000 --out anchors",
		Args:    noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			if err := fromScan(&q, from); err != nil {
				return nil, nil, usageError{err}
			}
			a, err := pipelines.MeasureAnchors(ctx, o, q)
			return a, nil, err
		}),
	}
	c.experimentFlags(cmd, &q, &from)
	return cmd
}

// experimentFlags adds what both experiments take.
func (c *session) experimentFlags(cmd *cobra.Command, q *pipelines.ExperimentRequest, from *string) {
	c.pipelineFlags(cmd, "store", "seed", "shards")
	f := cmd.Flags()
	f.StringVar(&q.Out, "out", "", "folder or gs:// prefix for cohort, stores and results")
	f.StringVar(&q.Cohort, "cohort", phantom.FlareMini, "benchmark cohort: "+strings.Join(phantom.Presets(), " or "))
	f.StringVar(from, "from", "", "CT,LABELS: deform this real scan into the cohort instead (FLARE's label ids)")
	f.StringVar(&c.shared.Dataset, "dataset", "", "a dataset in place of a cohort")
	f.DurationVar(&q.Budget, "budget", 0, "time, such as 30m or 2h, from which steps are counted before the start")
	f.IntVar(&q.Steps, "steps", 0, "steps of a student, in place of a budget; a teacher takes two fifths of them")
	require(cmd, "out")
}

func fromScan(q *pipelines.ExperimentRequest, from string) (err error) {
	if from != "" {
		q.CT, q.Labels, err = ctAndLabels(from)
	}
	return err
}
