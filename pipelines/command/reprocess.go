package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
)

func reprocessCommand(c *session) *cobra.Command {
	var q pipelines.ReprocessRequest
	var watch bool
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "reprocess",
		Short: "Label the scans that are new, have changed, or were labelled by an older model",
		Long: `reprocess compares a place with the store's ledger and labels what is new or has
changed there, and what was labelled by an older model, plan or version. It is made
to be started again and again (see noisystudent schedule): where nothing has changed
it computes nothing, and where another run is at work on the store it does nothing.

A new file is labelled once two looks, --settle apart, find it unchanged, a DICOM series
once its whole folder is, in the number and size of its slices. A scan that comes under
two names is labelled once; the second gets a copy. Of a scan that was removed the
labels stay.`,
		Example: `  noisystudent reprocess --store store --input 'incoming/*.nii.gz'
  noisystudent reprocess --store gs://b/store --input gs://b/incoming --output gs://b/labels --only-missing
  noisystudent reprocess --store store --input incoming --watch --watch-for 8h --interval 1m`,
		Args: noArgs,
		RunE: c.pipeline(func(ctx context.Context, o pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error) {
			if watch {
				q.WatchFor = life
			}
			r, err := pipelines.Reprocess(ctx, o, q)
			return r, r.Rejected, err
		}),
	}
	c.pipelineFlags(cmd, "seed")
	f := cmd.Flags()
	modelFlags(cmd, &q.PredictRequest)
	f.StringVar(&q.Input, "input", "", "scans, NIfTI or DICOM: a glob, a folder or a gs:// prefix")
	f.StringVar(&q.Output, "output", "", "folder or gs:// prefix for copies of the labels (default only the store's predictions)")
	f.StringVar(&q.Policy.Since, "since-model", "", "label again what a model older than this digest of predictions/ has labelled (default latest)")
	f.BoolVar(&q.Policy.OnlyMissing, "only-missing", false, "label only what is new or has changed, whatever model labelled the rest")
	f.DurationVar(&q.Settle, "settle", 10*time.Second, "time for which a new file must not change")
	f.DurationVar(&q.LockWait, "lock-wait", 0, "time to wait where another run is at work (default none: leave the work to it)")
	f.BoolVar(&watch, "watch", false, "go on looking")
	f.DurationVar(&life, "watch-for", time.Hour, "with --watch: for so long")
	f.DurationVar(&q.Interval, "interval", time.Minute, "with --watch: time between looks")
	require(cmd, "store", "input")
	return cmd
}
