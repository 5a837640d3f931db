package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
)

func phantomCommand(c *session) *cobra.Command {
	var q pipelines.PhantomRequest
	var from string
	var spacing []float64
	var shape []int
	cmd := &cobra.Command{
		Use:   "phantom",
		Short: "Make a synthetic cohort: CT phantoms with 13 labelled organs",
		Long: `phantom writes a dataset in nnU-Net's raw layout: phantoms drawn from a seed, or
random deformations of one real labelled scan. Both are synthetic: what a model
scores on them says nothing about patients.`,
		Example: `  noisystudent phantom --out cohort --labelled 3 --unlabelled 40 --test 24
  noisystudent phantom --out cohort --labelled 5 --test 5 --from ct.nii.gz,labels.nii.gz`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			if err := phantomOptions(&q, from, shape, spacing); err != nil {
				return nil, nil, usageError{err}
			}
			q.Options.Seed = o.Seed
			r, err := pipelines.Phantom(ctx, o, q)
			return r, nil, err
		}),
	}
	c.pipelineFlags(cmd, "store", "device", "memory")
	f := cmd.Flags()
	f.StringVar(&q.Out, "out", "", "folder or gs:// prefix of the dataset")
	f.IntVar(&q.Options.Labelled, "labelled", 3, "labelled cases")
	f.IntVar(&q.Options.Unlabelled, "unlabelled", 40, "unlabelled cases")
	f.IntVar(&q.Options.Test, "test", 24, "test cases, with labels for evaluate")
	f.IntVar(&q.Options.Corrupt, "corrupt", 0, "unlabelled files to cut short on purpose")
	f.BoolVar(&q.Options.Shifted, "shifted", true, "draw unlabelled and test cases from another domain than the labelled ones")
	f.StringVar(&from, "from", "", "CT,LABELS: deform this real scan instead (FLARE's label ids)")
	f.IntSliceVar(&shape, "shape", nil, "voxels z,y,x (default 18,48,64)")
	f.Float64SliceVar(&spacing, "spacing", nil, "mm z,y,x (default 5,5,5)")
	f.Lookup("spacing").DefValue = "" // shown once
	require(cmd, "out")
	return cmd
}

func phantomOptions(q *pipelines.PhantomRequest, from string, shape []int, spacing []float64) error {
	if from != "" {
		ct, labels, ok := strings.Cut(from, ",")
		if !ok || ct == "" || labels == "" {
			return fmt.Errorf("--from %q; write CT,LABELS", from)
		}
		q.Options.CT, q.Options.Labels = ct, labels
	}
	if n := len(shape); n != 0 && n != 3 || len(spacing) != 0 && len(spacing) != 3 {
		return fmt.Errorf("--shape and --spacing take three values, z,y,x")
	}
	copy(q.Options.Shape[:], shape)
	copy(q.Options.Spacing[:], spacing)
	return nil
}
