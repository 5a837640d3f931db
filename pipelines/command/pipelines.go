package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
)

// explained is a plan with the reasons for its values.
type explained struct {
	pipelines.Planned
	text string
}

func (e explained) String() string { return e.text }

func planCommand(c *session) *cobra.Command {
	var explain bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Measure the labelled cases and decide spacing, patch, network and schedule",
		Example: `  noisystudent plan --dataset Dataset022_FLARE22 --store store --explain
  noisystudent plan --dataset D --store store --replan --set patch_size=32,160,160`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			p, err := pipelines.Plan(ctx, o)
			if err != nil || !explain {
				return p, p.Rejected, err
			}
			memory, err := pipelines.PlannedMemory(p.Plan, o)
			return explained{p, plan.Explain(p.Plan) + memory + p.String()}, p.Rejected, err
		}),
	}
	c.datasetFlags(cmd)
	hide(cmd, "device", "shards")
	cmd.Flags().BoolVar(&explain, "explain", false, "say why each value is what it is, and what memory it takes")
	return cmd
}

func preprocessCommand(c *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "preprocess",
		Short:   "Crop, normalise and resample all labelled and unlabelled cases",
		Example: "  noisystudent preprocess --dataset Dataset022_FLARE22 --store gs://bucket/store",
		Args:    noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			r, err := pipelines.Preprocess(ctx, o)
			return r, r.Rejected, err
		}),
	}
	c.datasetFlags(cmd)
	hide(cmd, "device", "cpu", "shards")
	return cmd
}

func trainCommand(c *session) *cobra.Command {
	var role string
	var folds []int
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train teachers, students, the fine-tuned model or the supervised control",
		Example: `  noisystudent train --dataset D --store store                       # all five teachers
  noisystudent train --dataset D --store store --role student --fold 0
  noisystudent train --dataset D --store store --role finetuned      # from the best student
  noisystudent train --dataset D --store store --time-budget 2h      # as many epochs as fit`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			r, err := pipelines.Train(ctx, o, fit.Role(role), folds)
			return r, r.Rejected, err
		}),
	}
	c.datasetFlags(cmd)
	c.budgetFlag(cmd)
	cmd.Flags().StringVar(&role, "role", "teacher", "teacher, student, finetuned or control")
	cmd.Flags().IntSliceVar(&folds, "fold", nil, "folds to train (default all of the role; finetuned: the best student's)")
	return cmd
}

func pseudolabelCommand(c *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pseudolabel",
		Short: "Label the unlabelled cases with the ensemble of the teachers",
		Example: `  noisystudent pseudolabel --dataset Dataset022_FLARE22 --store store
  noisystudent pseudolabel --dataset gs://b/D --store gs://b/store --runner flink --endpoint localhost:8099 --parallelism 16`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			r, err := pipelines.Pseudolabel(ctx, o)
			return r, r.Rejected, err
		}),
	}
	c.datasetFlags(cmd)
	cmd.Flags().StringSliceVar(&c.shared.KeepLargest, "keep-largest", nil, "organs of which only the largest piece is kept: the plan's inference.keep_largest (default none, as in the paper)")
	return cmd
}

func predictCommand(c *session) *cobra.Command {
	var q pipelines.PredictRequest
	cmd := &cobra.Command{
		Use:   "predict",
		Short: "Label scans with a model of the store",
		Example: `  noisystudent predict --store store --input 'new/*.nii.gz' --output labels
  noisystudent predict --store store --input incoming --output labels    # also folders and .zip archives of DICOM slices
  noisystudent predict --store gs://b/store --input gs://b/new --output gs://b/labels --model ensemble`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			r, err := pipelines.Predict(ctx, o, q)
			return r, r.Rejected, err
		}),
	}
	c.pipelineFlags(cmd, "seed")
	f := cmd.Flags()
	f.StringVar(&q.Input, "input", "", "scans, NIfTI or DICOM: a glob, a folder or a gs:// prefix")
	f.StringVar(&q.Output, "output", "", "folder or gs:// prefix for <case>.nii.gz")
	modelFlags(cmd, &q)
	f.BoolVar(&q.Statistics, "statistics", false, "also measure every organ as the command statistics does, and flag what a person should look at, where teachers disagree too")
	require(cmd, "store", "input", "output")
	return cmd
}

// modelFlags adds the flags that choose a model and how it is applied.
func modelFlags(cmd *cobra.Command, q *pipelines.PredictRequest) {
	f := cmd.Flags()
	f.StringVar(&q.Model, "model", "", "finetuned, student, ensemble, control, or ROLE/FOLD such as teacher/0 (default the best there is, with its last weights, as nnU-Net predicts); @best behind it takes the checkpoint of the highest pseudo-DSC")
	f.StringVar(&q.Export, "export", "", "labels (arg-max first) or probabilities (nnU-Net's order) (default the plan's)")
	f.StringVar(&q.Tiles, "tiles", "", "what is computed: all of a scan, the body, or the region in which the model sees organs (default the plan's)")
	f.StringVar(&q.Mirror, "mirror", "", "axes to mirror, such as x,y,z, or none (default the plan's)")
	f.StringSliceVar(&q.KeepLargest, "keep-largest", nil, "organs of which only the largest piece is kept, such as 'liver,right kidney', or none (default the plan's; evaluate --try-largest says where it helps)")
}

func evaluateCommand(c *session) *cobra.Command {
	var q pipelines.EvaluateRequest
	cmd := &cobra.Command{
		Use:   "evaluate",
		Short: "Score predictions against references: DSC and NSD, per organ and mean",
		Example: `  noisystudent evaluate --predictions labels --references Dataset022_FLARE22/labelsTs
  noisystudent evaluate --store store --dataset Dataset022_FLARE22 --cross-validation teacher --try-largest`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			r, err := pipelines.Evaluate(ctx, o, q)
			return r, r.Rejected, err
		}),
	}
	c.pipelineFlags(cmd, "seed", "cpu", "precision", "exact", "shards")
	f := cmd.Flags()
	f.Lookup("store").Usage = "folder or gs://BUCKET/PREFIX for ledger and report (default the predictions' folder)"
	f.StringVar(&c.shared.Dataset, "dataset", "", "with --cross-validation: folder or gs:// prefix of the labelled cases")
	f.StringVar(&q.CrossValidation, "cross-validation", "", "instead of folders: score the labelled cases, each labelled by the model of its fold, teacher or student")
	f.BoolVar(&q.Calibrate, "calibrate", false, "with --cross-validation: fit the temperature that makes the models' probabilities true, and print their error before and after")
	f.BoolVar(&q.TryLargest, "try-largest", false, "also score the largest piece of each organ alone, and say for which --keep-largest would help; best on --cross-validation")
	f.StringVar(&q.Predictions, "predictions", "", "folder or gs:// prefix of predicted labels")
	f.StringVar(&q.References, "references", "", "folder or gs:// prefix of reference labels")
	f.StringVar(&q.Dataset, "dataset-json", "", "dataset.json that names the labels (default beside the references' folder)")
	f.StringVar(&q.Rules, "rules", "flare22", "flare22, flare22-2024 or nnunet")
	return cmd
}

func statisticsCommand(c *session) *cobra.Command {
	var q pipelines.StatisticsRequest
	cmd := &cobra.Command{
		Use:   "statistics",
		Short: "Measure the organs of labelled scans, and flag what a person should look at",
		Long: `statistics measures volume, HU, place and pieces of every organ of scans that have
labels, and writes statistics.csv and statistics.parquet. Flags are about organs that
are missing though the scan reaches where they lie, smaller or larger than in the
labelled cases of --dataset, on the wrong side, or in several large pieces. The
labelled cases are measured once; later runs find them in the store.`,
		Example: `  noisystudent statistics --store store --dataset Dataset022_FLARE22 --input 'new/*.nii.gz' --labels labels
  noisystudent statistics --store gs://b/store --input gs://b/new --labels gs://b/labels`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			r, err := pipelines.Statistics(ctx, o, q)
			return r, r.Rejected, err
		}),
	}
	c.pipelineFlags(cmd, "device", "seed", "cpu", "precision", "exact", "shards")
	f := cmd.Flags()
	f.StringVar(&c.shared.Dataset, "dataset", "", "folder or gs:// prefix whose labelled cases say what is usual (default those of the run before, if any)")
	f.StringVar(&q.Input, "input", "", "scans: a glob, a folder or a gs:// prefix")
	f.StringVar(&q.Labels, "labels", "", "folder or gs:// prefix of <case>.nii.gz")
	require(cmd, "store", "input", "labels")
	return cmd
}

func loopCommand(c *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "loop",
		Short:   "The whole method: plan, preprocess, teachers, pseudo-labels, student, fine-tune, test",
		Example: "  noisystudent loop --dataset Dataset022_FLARE22 --store store",
		Args:    noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			r, err := pipelines.Loop(ctx, o)
			return r, r.Rejected, err
		}),
	}
	c.datasetFlags(cmd)
	c.budgetFlag(cmd)
	return cmd
}

func demoCommand(c *session) *cobra.Command {
	var q pipelines.DemoRequest
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch the whole method run on a small synthetic cohort",
		Long: `demo makes a small cohort of synthetic phantoms, runs the whole method on it and
prints DSC and NSD of teachers, ensemble, student, fine-tuned model and a control
of as many steps. One unlabelled file is corrupt on purpose; it is rejected, and
the exit code is 0 all the same.`,
		Example: "  noisystudent demo\n  noisystudent demo --quick --out /tmp/demo",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := c.options(cmd)
			if err != nil {
				return err
			}
			r, err := pipelines.Demo(cmd.Context(), o, q)
			if err != nil {
				return err
			}
			return c.show(r, r.Rejected) // the rejected case is part of the show
		},
	}
	c.pipelineFlags(cmd, "store")
	f := cmd.Flags()
	f.StringVar(&q.Out, "out", "noisystudent-demo", "folder or gs:// prefix for the cohort, the store and summary.json")
	f.BoolVar(&q.Quick, "quick", false, "end within a minute: the same stages, too few steps to learn")
	return cmd
}
