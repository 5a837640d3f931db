package command

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/runners"
	"noisystudent/runners/flink"
	"noisystudent/runners/flink/cluster"
)

func flinkCommand(c *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "flink",
		Short: "Run a Flink cluster on this machine for --runner=flink",
		Long: `flink up fetches Flink 1.19 and Beam's job server with pip and Maven, once, and
starts them on this machine. Pipelines with --runner=flink then find them without
any other flag. runners/flink/README.md tells the rest.`,
		Example: `  noisystudent flink up
  noisystudent train --dataset D --store store --runner flink --parallelism 2
  noisystudent flink status
  noisystudent flink down`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(flinkUp(c), flinkDown(c), flinkStatus(c), flinkPool(c))
	return cmd
}

func flinkUp(c *session) *cobra.Command {
	var o cluster.Options
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start what does not run yet, and print the job server's address",
		Long: `up starts a JobManager, a TaskManager and Beam's job server, or those of them that
do not run, and returns once they answer. It prints HOST:PORT of the job server.`,
		Example: `  noisystudent flink up
  FLINK_HOME=/opt/flink-1.19.1 noisystudent flink up --slots 8    # a Flink that is installed
  noisystudent flink up --master jobmanager:8081                  # a cluster that runs already`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Note = func(line string) { fmt.Fprintln(c.log, line) }
			state, err := cluster.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			o.Note("flink: ready; http://" + state.REST + " is Flink's page")
			fmt.Fprintln(c.out, state.Endpoint)
			return nil
		},
	}
	f := cmd.Flags()
	clusterFolder(cmd, &o.Folder)
	f.StringVar(&o.Master, "master", "", "HOST:PORT of the REST interface of a cluster that runs already: only the job server is started")
	f.IntVar(&o.JobPort, "job-port", 0, "port of the job server (default 8099, or a free one)")
	f.IntVar(&o.RESTPort, "rest-port", 0, "port of Flink's page (default 8081, or a free one)")
	f.IntVar(&o.Slots, "slots", 0, "bundles at once, of all jobs together (default one a processor, at least 4)")
	return cmd
}

// clusterFolder adds the flag that says which cluster is meant.
func clusterFolder(cmd *cobra.Command, folder *string) {
	cmd.Flags().StringVar(folder, "dir", "", "folder of the cluster's configuration and logs (default in the user's cache folder)")
}

func flinkDown(c *session) *cobra.Command {
	var folder string
	cmd := &cobra.Command{
		Use:     "down",
		Short:   "Stop the cluster, also what a crash has left of it",
		Example: "  noisystudent flink down",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stopped, err := cluster.Down(cmd.Context(), folder)
			if err != nil {
				return err
			}
			if len(stopped) == 0 {
				fmt.Fprintln(c.out, "no process of the cluster runs; nothing to do")
				return nil
			}
			fmt.Fprintln(c.out, "stopped "+strings.Join(stopped, ", "))
			return nil
		},
	}
	clusterFolder(cmd, &folder)
	return cmd
}

func flinkStatus(c *session) *cobra.Command {
	var folder string
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say what runs, where its logs are and what it takes",
		Example: "  noisystudent flink status",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := cluster.Look(cmd.Context(), folder)
			if errors.Is(err, fs.ErrNotExist) && len(s.Processes) == 0 {
				return errors.New("flink: no cluster; start one with `noisystudent flink up`")
			}
			if err != nil {
				return err
			}
			return c.show(s, nil)
		},
	}
	clusterFolder(cmd, &folder)
	cmd.Flags().BoolVar(&c.json, "json", false, "print it as JSON")
	return cmd
}

func flinkPool(c *session) *cobra.Command {
	var port int
	cmd := &cobra.Command{
		Use:   "pool",
		Short: "Run DoFns in this process, for --environment=EXTERNAL, until it is stopped",
		Example: `  noisystudent flink pool --port 50000 &
  noisystudent preprocess --dataset D --store store --runner flink \
      --environment EXTERNAL --environment-config localhost:50000`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := runners.Init(cmd.Context(), c.log, c.verbose); err != nil {
				return err
			}
			pool, err := flink.OpenPool(cmd.Context(), port)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.out, pool.Address())
			<-cmd.Context().Done()
			return pool.Close()
		},
	}
	cmd.Flags().IntVar(&port, "port", 50000, "port on this machine; 0 chooses one")
	cmd.Flags().BoolVar(&c.verbose, "verbose", false, "print Beam's log too")
	return cmd
}
