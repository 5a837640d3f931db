package command

import (
	"github.com/spf13/cobra"

	"noisystudent/pipelines"
)

func statusCommand(c *session) *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell from the ledger what is done, running and refused, and how long it takes",
		Long: `status reads a store and changes nothing: the stages and how many cases are done or
refused and why, what runs now on whatever host and the time that it has left, the
models, and the scans that reprocess looks after.`,
		Example: "  noisystudent status --store store\n  noisystudent status --store gs://bucket/store --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := pipelines.ReadStatus(cmd.Context(), root)
			if err != nil {
				return err
			}
			return c.show(s, nil)
		},
	}
	cmd.Flags().StringVar(&root, "store", "", "folder or gs://BUCKET/PREFIX to tell about")
	cmd.Flags().BoolVar(&c.json, "json", false, "print the status as JSON on standard output")
	require(cmd, "store")
	return cmd
}
