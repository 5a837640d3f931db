package command

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
	"noisystudent/runners"
)

// session is what the commands of one process share.
type session struct {
	out, log io.Writer
	shared   pipelines.Options
	memory   string
	json     bool
	verbose  bool
}

// pipelineFlags adds the flags that every pipeline takes.
func (c *session) pipelineFlags(cmd *cobra.Command) {
	f, o := cmd.Flags(), &c.shared
	f.StringVar(&o.Store, "store", "", "folder or gs://BUCKET/PREFIX for everything made (required)")
	f.StringVar(&o.Runner.Runner, "runner", "prism", "where to run: "+runners.Names+" (direct = prism)")
	f.StringVar(&o.Device, "device", "auto", "what computes: auto, cpu or ref")
	f.IntVar(&o.Threads, "threads", 0, "threads to use (default all)")
	f.StringVar(&c.memory, "memory", "", "memory for case data, such as 6GiB (default three quarters of the limit)")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of everything random")
	f.BoolVar(&c.json, "json", false, "print the result as JSON on standard output")
	f.BoolVar(&c.verbose, "verbose", false, "print Beam's log too")
	f.StringVar(&o.Runner.Flink.Endpoint, "endpoint", "", "flink: HOST:PORT of Beam's job server")
	f.StringVar(&o.Runner.Flink.Environment, "environment", "", "flink: PROCESS, LOOPBACK or EXTERNAL workers")
	f.StringVar(&o.Runner.Flink.Config, "environment-config", "", "flink: worker binary, or HOST:PORT of a worker pool")
	f.IntVar(&o.Runner.Flink.Parallelism, "parallelism", 0, "flink: bundles at once")
	f.StringVar(&o.Runner.Dataflow.Project, "project", "", "dataflow: project")
	f.StringVar(&o.Runner.Dataflow.Region, "region", "", "dataflow: region")
	f.StringVar(&o.Runner.Dataflow.Staging, "staging", "", "dataflow: gs://BUCKET/PREFIX for the binary")
	f.StringVar(&o.Runner.Dataflow.Image, "worker-image", "", "dataflow: container image of the workers")
	f.StringVar(&o.Runner.Dataflow.MachineType, "machine-type", "", "dataflow: machine type of the workers")
}

// datasetFlags adds the flags of pipelines that read a dataset and plan it.
func (c *session) datasetFlags(cmd *cobra.Command) {
	c.pipelineFlags(cmd)
	f, o := cmd.Flags(), &c.shared
	f.StringVar(&o.Dataset, "dataset", "", "folder or gs:// prefix with dataset.json, imagesTr, labelsTr, imagesUn (required)")
	f.StringVar(&o.UnlabelledPool, "unlabelled-scans", "", "glob or prefix of more unlabelled scans")
	f.StringVar(&o.Preset, "preset", "", "preset of the plan (default low-footprint)")
	f.StringArrayVar(&o.Set, "set", nil, "plan field, NAME=VALUE; may be repeated")
	f.BoolVar(&o.Replan, "replan", false, "make plan.json anew")
	f.BoolVar(&o.Retrain, "retrain", false, "start models over that were trained from other inputs")
}

// options completes the shared options once the flags are read.
func (c *session) options() (pipelines.Options, error) {
	o := c.shared
	if c.memory != "" {
		bytes, err := parseBytes(c.memory)
		if err != nil {
			return o, usageError{fmt.Errorf("--memory: %w", err)}
		}
		o.MemoryBytes = bytes
	}
	if o.Threads < 0 {
		return o, usageError{fmt.Errorf("--threads: %d; need 1 or more", o.Threads)}
	}
	if err := o.Runner.Check(); err != nil {
		return o, usageError{err}
	}
	o.Progress = newProgress(c.log)
	o.Log = slog.New(slog.NewTextHandler(c.log, nil))
	return o, runners.Init(c.log, c.verbose)
}

// parseBytes reads a size such as 6GiB, 800M or 1073741824; K, M, G and T are
// powers of 1024.
func parseBytes(text string) (int64, error) {
	number := strings.TrimRight(text, "iIbB")
	shift := 0
	if number != "" {
		if i := strings.IndexByte("KMGT", number[len(number)-1]&^0x20); i >= 0 {
			shift = 10 * (i + 1)
			number = number[:len(number)-1]
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v > 0) || v > float64(int64(1)<<(62-shift)) {
		return 0, fmt.Errorf("%q is not a size; write for example 6GiB", text)
	}
	return int64(v * float64(int64(1)<<shift)), nil
}
