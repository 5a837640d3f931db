package command

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"noisystudent/model/engine"
	"noisystudent/pipelines"
	"noisystudent/runners"
	"noisystudent/runners/worker"
	"noisystudent/transforms/plan"
)

// session is what the commands of one process share.
type session struct {
	out, log io.Writer
	shared   pipelines.Options
	memory   string
	exact    bool
	libcuda  string // and
	nvrtc    string // where they are, if not where everybody's are
	json     bool
	verbose  bool

	logFormat, metricsAddr string
	command                string       // that works, and
	began                  time.Time    // since when
	rejected               int          // cases, by a command that has ended
	events                 *slog.Logger // of --log-format json, else nil
	stop                   func()       // ends /metrics
}

// pipelineFlags adds the flags that every pipeline takes, so that scripts may pass the
// same ones to all. Those that change nothing for a command are named in idle: they
// are taken and not shown.
func (c *session) pipelineFlags(cmd *cobra.Command, idle ...string) {
	f, o := cmd.Flags(), &c.shared
	f.StringVar(&o.Store, "store", "", "folder or gs://BUCKET/PREFIX for everything made")
	f.StringVar(&o.Runner.Runner, "runner", "prism", "where to run: "+runners.Names+" (direct = prism)")
	f.StringVar(&o.Device, "device", "auto", "what computes: "+strings.Join(pipelines.Devices(), ", "))
	c.libraryFlags(cmd)
	f.StringVar(&o.Kernels, "cpu", "", "kernels of the CPU: avx512, avx2 or generic (default NOISYSTUDENT_CPU, or the best there are)")
	f.StringVar(&o.Precision, "precision", "", "mixed (fp16 on a card, fp32 on the CPU: what presets plan), fp32, bf16, fp16, or auto: label in 16 bits where that changes the DSC on validation cases by at most 0.001 (default the plan's)")
	f.BoolVar(&c.exact, "exact", false, "multiply in float32 as it is defined, without transformed products")
	f.IntVar(&o.Threads, "threads", 0, "threads to use (default all); flink: of the one worker process of a TaskManager, at least --parallelism of them")
	f.IntVar(&o.Shards, "shards", 0, "workers that cases to label are dealt to, the largest cases first (default as many as label at once, 64 where nobody says)")
	f.StringVar(&c.memory, "memory", "", "memory to use, such as 6GiB (default three quarters of what the machine or the container allows)")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of everything random")
	f.BoolVar(&c.json, "json", false, "print the result as JSON on standard output")
	f.StringVar(&c.logFormat, "log-format", "text", "text, or json: a line an event, with case ids and no paths")
	f.StringVar(&c.metricsAddr, "metrics-addr", "", "answer /metrics for Prometheus at HOST:PORT or :PORT while the command runs")
	f.BoolVar(&c.verbose, "verbose", false, "print Beam's log too")
	f.StringVar(&o.Runner.Flink.Endpoint, "endpoint", "", "flink: HOST:PORT of Beam's job server (default that of `noisystudent flink up`)")
	f.StringVar(&o.Runner.Flink.Environment, "environment", "", "flink: PROCESS, LOOPBACK or EXTERNAL workers (default PROCESS)")
	f.StringVar(&o.Runner.Flink.Config, "environment-config", "", "flink: worker binary (default this one), or HOST:PORT of a worker pool")
	f.IntVar(&o.Runner.Flink.Parallelism, "parallelism", 0, "flink: bundles at once (default 1)")
	f.StringVar(&o.Runner.Dataflow.Project, "project", "", "dataflow: project")
	f.StringVar(&o.Runner.Dataflow.Region, "region", "", "dataflow: region")
	f.StringVar(&o.Runner.Dataflow.Staging, "staging", "", "dataflow: gs://BUCKET/PREFIX for the binary")
	f.StringVar(&o.Runner.Dataflow.Image, "worker-image", "", "dataflow: container image of the workers")
	f.StringVar(&o.Runner.Dataflow.MachineType, "machine-type", "", "dataflow: machine type of the workers (default the smallest n1-highmem that holds the job)")
	f.StringVar(&o.Runner.Dataflow.Accelerator, "accelerator", "", "dataflow: GPU of workers that compute networks, TYPE or TYPE:COUNT")
	f.Int64Var(&o.Runner.Dataflow.MaxWorkers, "max-workers", 0, "dataflow: workers at most (default Dataflow's)")
	f.StringVar(&o.Runner.Dataflow.ServiceAccount, "service-account", "", "dataflow: account whose rights the workers have (default the project's)")
	f.StringVar(&o.Runner.Dataflow.Subnetwork, "subnetwork", "", "dataflow: subnetwork of workers without public addresses")
	f.StringVar(&o.Runner.Dataflow.Binary, "worker-binary", "", "dataflow: linux/amd64 build of this program for the workers, made with CGO_ENABLED=0 (default this one)")
	f.BoolVar(&o.Runner.Dataflow.DryRun, "dry-run", false, "dataflow: print the first job that would be submitted, and stop")
	hide(cmd, idle...)
}

// libraryFlags adds the flags that say where CUDA's libraries are.
func (c *session) libraryFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.libcuda, "libcuda", "", "NVIDIA's driver, libcuda.so.1 or its folder (default "+engine.LibcudaVariable+", or the loader's)")
	f.StringVar(&c.nvrtc, "nvrtc", "", "NVIDIA's compiler, libnvrtc.so.* or its folder (default "+engine.NVRTCVariable+", or the loader's, then CUDA_HOME, then Python's packages)")
}

// libraries has this process and its workers load the libraries that were named.
func (c *session) libraries() error {
	return worker.Environment(engine.LibcudaVariable+"="+c.libcuda, engine.NVRTCVariable+"="+c.nvrtc)
}

// hide takes flags out of a command's help: with the device, where its libraries are.
func hide(cmd *cobra.Command, names ...string) {
	if slices.Contains(names, "device") {
		names = append(slices.Clip(names), "libcuda", "nvrtc")
	}
	for _, name := range names {
		_ = cmd.Flags().MarkHidden(name) // fails only for a flag that is not there
	}
}

// datasetFlags adds the flags of pipelines that read a dataset and plan it.
func (c *session) datasetFlags(cmd *cobra.Command) {
	c.pipelineFlags(cmd)
	f, o := cmd.Flags(), &c.shared
	f.StringVar(&o.Dataset, "dataset", "", "folder or gs:// prefix with dataset.json, imagesTr, labelsTr, imagesUn")
	f.StringVar(&o.UnlabelledPool, "unlabelled-scans", "", "glob or prefix of more unlabelled scans")
	f.StringVar(&o.Preset, "preset", "", "preset of the plan: "+strings.Join(plan.Presets(), ", ")+" (default student)")
	f.StringArrayVar(&o.Set, "set", nil, "plan field, NAME=VALUE; may be repeated")
	f.BoolVar(&o.Replan, "replan", false, "make plan.json anew")
	f.BoolVar(&o.Retrain, "retrain", false, "start models over that were trained from other inputs")
	require(cmd, "dataset", "store")
}

// budgetFlag adds the flag of commands that may have little time to train.
func (c *session) budgetFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&c.shared.TimeBudget, "time-budget", 0, "fit the plan's epochs to this time, such as 2h, by timing steps on this machine before anything is trained; kept in plan.json (default as planned)")
	cmd.Flags().Lookup("time-budget").DefValue = ""
}

// noArgs refuses words that no flag takes: as a rule a glob without quotes, which the
// shell has turned into many words.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%q belongs to no flag; a glob needs quotes, such as --input 'DIR/*.nii.gz'", args[0])}
}

// require marks flags that a command cannot do without.
func require(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		cmd.Flags().Lookup(name).Usage += " (required)"
		_ = cmd.MarkFlagRequired(name) // fails only for a flag that is not there
	}
}

// options completes the shared options once the flags are read.
func (c *session) options(cmd *cobra.Command) (pipelines.Options, error) {
	o := c.shared
	if err := c.begin(cmd); err != nil {
		return o, err
	}
	if c.memory != "" {
		bytes, err := parseBytes(c.memory)
		if err != nil {
			return o, usageError{fmt.Errorf("--memory: %w", err)}
		}
		o.MemoryBytes = bytes
	}
	if c.exact {
		if o.Precision != "" {
			return o, usageError{errors.New("--exact and --precision exclude each other")}
		}
		o.Precision = plan.Exact
	}
	if err := errors.Join(worker.Threads(o.Threads), c.libraries()); err != nil {
		return o, err
	}
	if turns := o.TakeTurns(); turns != "" {
		c.tell(turns, "remedy", fmt.Sprintf("give --threads %d", o.Runner.Flink.Parallelism))
	}
	o.Progress = newProgress(c.log)
	if c.events != nil {
		o.Progress = events{c.events}
	}
	return o, runners.Init(cmd.Context(), c.log, c.verbose)
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
