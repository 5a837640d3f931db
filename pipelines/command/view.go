package command

import (
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
)

func viewCommand(c *session) *cobra.Command {
	var q pipelines.ViewRequest
	var port int
	cmd := &cobra.Command{
		Use:   "view",
		Short: "Look at scans and their labels in a browser of this machine",
		Long: `view prints the address of a page that shows scans slice by slice, labels over them
in colours, and where labels and references differ. It answers this machine only,
until Ctrl-C; the page needs no network. The address has a key, which is new each
time, because other users of the machine reach the port, too. From afar use
ssh -L PORT:localhost:PORT with --port.`,
		Example: `  noisystudent view --input 'new/*.nii.gz' --labels labels
  noisystudent view --input Dataset022_FLARE22/imagesTs --labels labels --references Dataset022_FLARE22/labelsTs
  noisystudent view --input ct.nii.gz --labels organs.nii.gz --port 8000`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if port < 0 || port > 65535 {
				return usageError{fmt.Errorf("--port %d: give 1 to 65535, or 0 for any that is free", port)}
			}
			v, err := pipelines.View(cmd.Context(), q)
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				return fmt.Errorf("view: %w; give a --port that is free, or none", err)
			}
			for _, x := range v.Rejected {
				fmt.Fprintf(c.log, "not shown: %s: %s\n", x.Case, x.Message)
			}
			fmt.Fprintf(c.out, "http://%s%s\n", l.Addr(), v.Server.Path())
			fmt.Fprintf(c.log, "%d cases; Ctrl-C ends it\n", v.Cases)
			return v.Server.Serve(cmd.Context(), l)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Input, "input", "", "scans, NIfTI or DICOM: a file, a glob, a folder or a gs:// prefix")
	f.StringVar(&q.Labels, "labels", "", "label files to draw over them: one, a folder or a gs:// prefix of <case>.nii.gz")
	f.StringVar(&q.References, "references", "", "label files to compare with: one, a folder or a gs:// prefix")
	f.StringVar(&q.Dataset, "dataset-json", "", "dataset.json that names the labels (default beside the folder of references, labels or scans, if there is one)")
	f.IntVar(&port, "port", 0, "port of 127.0.0.1 (default any that is free)")
	require(cmd, "input")
	return cmd
}
