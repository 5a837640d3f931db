// Package runners launches a pipeline: on Prism inside this process, on a Flink
// cluster, or on Dataflow. Pipelines are the same for all of them.
package runners

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/runners/dataflow"
	"noisystudent/runners/flink"
	"noisystudent/runners/prism"
)

// Options say where a pipeline runs.
type Options struct {
	Runner   string // prism (also: direct, or empty), flink or dataflow
	Flink    flink.Options
	Dataflow dataflow.Options
}

// Names lists what Options.Runner may be.
const Names = "prism, flink or dataflow"

// Check reports options that cannot work, before anything is run.
func (o Options) Check() error {
	switch name := o.name(); {
	case o.Dataflow.DryRun && name != "dataflow":
		return fmt.Errorf("runners: --dry-run prints a job for Dataflow; add --runner=dataflow")
	case name == "prism":
		return nil
	case name == "flink":
		return o.Flink.Check()
	case name == "dataflow" && o.Flink != (flink.Options{}):
		return fmt.Errorf("runners: --endpoint, --environment, --environment-config and --parallelism are Flink's; Dataflow's workers are containers, see --worker-image and --max-workers")
	case name == "dataflow":
		return o.Dataflow.Check()
	}
	return fmt.Errorf("runners: no runner %q; use %s", o.Runner, Names)
}

func (o Options) name() string {
	switch r := strings.ToLower(o.Runner); r {
	case "", "direct":
		return "prism"
	default:
		return r
	}
}

// Local reports whether DoFns run on this machine, with its devices and its memory.
func (o Options) Local() bool { return o.InProcess() || o.name() == "flink" && o.Flink.Local() }

// InProcess reports whether DoFns run in this process.
func (o Options) InProcess() bool { return o.name() == "prism" }

// SharedProcess reports whether the bundles of a machine are worked on in one process
// that the runner has started.
func (o Options) SharedProcess() bool { return o.name() == "flink" && o.Flink.Process() }

// Whole reports whether elements should be worked on to their end rather than in steps
// of a splittable DoFn, whose steps the runner deals out by a hash.
func (o Options) Whole() bool { return o.name() == "flink" }

// AtOnce is how many bundles the runner works on at once; 0: it has no limit, or nobody
// says.
func (o Options) AtOnce() int {
	if o.name() == "flink" {
		return o.Flink.AtOnce()
	}
	return 0
}

// Splits reports whether the runner gives a part of what a worker has left to another
// one that is idle. Prism splits too, but asks who is slow, not who is idle.
func (o Options) Splits() bool { return o.name() == "dataflow" }

// Cloud reports whether DoFns run where only buckets can be reached.
func (o Options) Cloud() bool { return o.name() == "dataflow" }

// Run executes a pipeline and waits for its end. A failed bundle is the returned
// error; faults of single cases are not errors here (see cases.Rejected).
func Run(ctx context.Context, p *beam.Pipeline, o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	switch o.name() {
	case "flink":
		return trimmed(flink.Run(ctx, p, o.Flink))
	case "dataflow":
		return trimmed(dataflow.Run(ctx, p, o.Dataflow))
	default:
		return trimmed(prism.Run(ctx, p))
	}
}

// failure is the error of a job in one line; Beam's own, with plans, coders and
// stages around what a DoFn said, is what it wraps.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// trimmed keeps what the DoFn that failed said, where Beam's text tells it.
func trimmed(err error) error {
	if err == nil {
		return nil
	}
	const mark = " failed:\n" // the last: DoFn[UID:6, PID:e4, Name: package.fn] failed:
	text := err.Error()
	at := strings.LastIndex(text, mark)
	if at < 0 || !strings.Contains(text[:at], "DoFn[") {
		return err
	}
	return &failure{"runners: " + strings.TrimSpace(text[at+len(mark):]), err}
}

// Init readies Beam in a process that is not a worker. Beam's flags get their
// defaults. Its log, which it sends to the default logger, is shown if verbose only:
// Prism prints a dozen lines a pipeline, and what fails comes back as an error. Once
// ctx is done nothing is logged: bundles that are cut off complain.
func Init(ctx context.Context, log io.Writer, verbose bool) error {
	level := slog.LevelError + 1
	if verbose {
		level = slog.LevelInfo
	}
	handler := slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})
	if !beam.Initialized() {
		if err := flag.CommandLine.Parse(nil); err != nil {
			return fmt.Errorf("runners: set Beam's defaults: %w", err)
		}
		beam.Init() // replaces the default logger
	}
	slog.SetDefault(slog.New(untilDone{handler, ctx}))
	return nil
}

// untilDone is silent once its context is done.
type untilDone struct {
	slog.Handler
	ctx context.Context
}

func (h untilDone) Enabled(ctx context.Context, level slog.Level) bool {
	return h.ctx.Err() == nil && h.Handler.Enabled(ctx, level)
}

func (h untilDone) WithAttrs(a []slog.Attr) slog.Handler {
	return untilDone{h.Handler.WithAttrs(a), h.ctx}
}

func (h untilDone) WithGroup(name string) slog.Handler {
	return untilDone{h.Handler.WithGroup(name), h.ctx}
}
