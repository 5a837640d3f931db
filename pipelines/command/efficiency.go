package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
	"noisystudent/transforms/plan"
)

func efficiencyCommand(c *session) *cobra.Command {
	var q pipelines.EfficiencyRequest
	cmd := &cobra.Command{
		Use:   "efficiency",
		Short: "Measure what labelling takes, as FLARE does, beside the paper's Table 1",
		Long: `efficiency labels each scan in a fresh process of this program, by each of three
systems: nnunet (32 features, probabilities resampled; with and without mirroring),
low-footprint (16 features, probabilities resampled) and student (the paper's
inference). Every 0.1 s it records memory, CPU and, on a card, GPU memory, and prints
the paper's Table 1 with ours beside it. A system whose model is not in --store is
measured with random weights, which says nothing but times and memory. The output
folder gets efficiency.csv, efficiency.json, plots/<case>.png and all samples.`,
		Example: `  noisystudent efficiency --store store --model student --input 'scans/*.nii.gz' --output efficiency
  noisystudent efficiency --input scan.nii.gz --output efficiency --systems student,nnunet --mirror none   # random weights`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			r, err := pipelines.Efficiency(ctx, o, q)
			return r, r.Rejected, err
		}),
	}
	c.pipelineFlags(cmd, "seed", "shards", "runner", "metrics-addr")
	f := cmd.Flags()
	f.Lookup("store").Usage = "store of the models (default none: random weights, the paper's patch)"
	f.StringVar(&q.Input, "input", "", "scans, NIfTI or DICOM: a glob, a folder or a gs:// prefix")
	f.StringVar(&q.Output, "output", "", "folder or gs:// prefix for what is measured")
	f.StringSliceVar(&q.Systems, "systems", nil, "of "+strings.Join(plan.Systems(), ", ")+" (default all)")
	f.StringVar(&q.Model, "model", "", "model of the store, as predict takes it (default the best there is)")
	f.StringVar(&q.NNUNet, "nnunet-store", "", "store of a model of preset nnunet (default random weights)")
	f.StringVar(&q.Mirror, "mirror", "", "axes that every system mirrors, such as x,y,z, or none (default none, and x,y,z too for nnunet)")
	f.BoolVar(&q.Again, "again", false, "measure again what was measured before")
	require(cmd, "input", "output")
	return cmd
}
