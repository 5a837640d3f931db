package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
	"noisystudent/transforms/phantom"
)

func phantomCommand(c *session) *cobra.Command {
	var q pipelines.PhantomRequest
	var from, preset string
	var spacing []float64
	var shape []int
	var cmd *cobra.Command
	cmd = &cobra.Command{
		Use:   "phantom",
		Short: "Make a synthetic cohort: CT phantoms with 13 labelled organs",
		Long: `phantom writes a dataset in nnU-Net's raw layout: phantoms drawn from a seed, or
random deformations of one real labelled scan. Both are synthetic: what a model
scores on them says nothing about patients.

A preset is a benchmark cohort that stays as it is, with a validation set beside the
test set (imagesVal, labelsVal) and the true labels of the unlabelled cases in truth/,
which no training reads. With --from its cases are strong deformations of that scan.`,
		Example: `  noisystudent phantom --out cohort --labelled 3 --unlabelled 40 --test 24
  noisystudent phantom --out cohort --preset flare-mini
  noisystudent phantom --out cohort --labelled 5 --test 5 --from ct.nii.gz,labels.nii.gz`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			if preset != "" {
				if err := choose(cmd, &q.Options, preset); err != nil {
					return nil, nil, usageError{err}
				}
			}
			if err := phantomOptions(&q, from, shape, spacing); err != nil {
				return nil, nil, usageError{err}
			}
			if preset == "" || o.Seed != 0 {
				q.Options.Seed = o.Seed
			}
			r, err := pipelines.Phantom(ctx, o, q)
			return r, nil, err
		}),
	}
	c.pipelineFlags(cmd, "store", "device", "memory", "cpu", "precision", "exact")
	f := cmd.Flags()
	f.StringVar(&q.Out, "out", "", "folder or gs:// prefix of the dataset")
	f.IntVar(&q.Options.Labelled, "labelled", 3, "labelled cases")
	f.IntVar(&q.Options.Unlabelled, "unlabelled", 40, "unlabelled cases")
	f.IntVar(&q.Options.Test, "test", 24, "test cases, with labels for evaluate")
	f.IntVar(&q.Options.Corrupt, "corrupt", 0, "unlabelled files to cut short on purpose")
	f.BoolVar(&q.Options.Shifted, "shifted", true, "draw unlabelled and test cases from another domain than the labelled ones")
	f.StringVar(&preset, "preset", "", "benchmark cohort: "+strings.Join(phantom.Presets(), " or ")+"; it says how many cases of which domains")
	f.StringVar(&from, "from", "", "CT,LABELS: deform this real scan instead (FLARE's label ids)")
	f.IntSliceVar(&shape, "shape", nil, "voxels z,y,x (default 18,48,64)")
	f.Float64SliceVar(&spacing, "spacing", nil, "mm z,y,x (default 5,5,5)")
	f.Lookup("spacing").DefValue = "" // shown once
	require(cmd, "out")
	return cmd
}

// choose takes a preset's options, which other flags must not contradict.
func choose(cmd *cobra.Command, o *phantom.Options, preset string) (err error) {
	for _, name := range []string{"labelled", "unlabelled", "test", "corrupt", "shifted"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--preset %s says how many cases there are; leave out --%s", preset, name)
		}
	}
	*o, err = phantom.Preset(preset)
	return err
}

func phantomOptions(q *pipelines.PhantomRequest, from string, shape []int, spacing []float64) error {
	if from != "" {
		var err error
		if q.Options.CT, q.Options.Labels, err = ctAndLabels(from); err != nil {
			return err
		}
	}
	if n := len(shape); n != 0 && n != 3 || len(spacing) != 0 && len(spacing) != 3 {
		return fmt.Errorf("--shape and --spacing take three values, z,y,x")
	}
	copy(q.Options.Shape[:], shape)
	copy(q.Options.Spacing[:], spacing)
	return nil
}

// ctAndLabels reads the value of --from.
func ctAndLabels(from string) (ct, labels string, err error) {
	ct, labels, ok := strings.Cut(from, ",")
	if !ok || ct == "" || labels == "" {
		return "", "", fmt.Errorf("--from %q; write CT,LABELS", from)
	}
	return ct, labels, nil
}
