// Package runners launches a pipeline: on Prism inside this process, on a Flink
// cluster, or on Dataflow. Pipelines are the same for all of them.
package runners

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
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
	switch o.name() {
	case "prism":
		return nil
	case "flink":
		return o.Flink.Check()
	case "dataflow":
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

// Local reports whether DoFns run inside this process.
func (o Options) Local() bool { return o.name() == "prism" }

// Run executes a pipeline and waits for its end. A failed bundle is the returned
// error; faults of single cases are not errors here (see cases.Rejected).
func Run(ctx context.Context, p *beam.Pipeline, o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	switch o.name() {
	case "flink":
		return flink.Run(ctx, p, o.Flink)
	case "dataflow":
		return dataflow.Run(ctx, p, o.Dataflow)
	default:
		return prism.Run(ctx, p)
	}
}

// Init readies Beam in a process that is not a worker. Beam's flags get their
// defaults, and its log, which it sends to the default logger, is cut to
// warnings: Prism prints a dozen lines a pipeline otherwise.
func Init(log io.Writer, verbose bool) error {
	if beam.Initialized() {
		return nil
	}
	if err := flag.CommandLine.Parse(nil); err != nil {
		return fmt.Errorf("runners: set Beam's defaults: %w", err)
	}
	beam.Init()
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelInfo
	}
	if log == nil {
		log = os.Stderr
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})))
	return nil
}
