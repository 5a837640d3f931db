// Package portable gives a pipeline to a job server, such as Prism's or Flink's, by
// Beam's job API.
//
// Beam's own way (package universal) takes what to submit from variables of the
// process, and leaves an empty file in the folder of temporary files for each pipeline
// that runs in the process. Here it is an argument, and no file is made: workers are
// this binary, wherever they are, so nothing has to be shipped to them.
package portable

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/graphx"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/harness/init" // makes this process a worker where it is started as one
	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/extworker"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/runnerlib"
)

// Job says how a pipeline is to run.
type Job struct {
	Name        string
	Parallelism int     // bundles at once; 0: the server's default
	Workers     Workers // the zero value: this process, while Run works
}

// Workers are where DoFns run.
type Workers struct{ urn, config string }

// Process is workers that the runner starts by a command on each of its hosts.
func Process(command string) (Workers, error) {
	config, err := json.Marshal(map[string]string{"command": command})
	return Workers{graphx.URNEnvProcess, string(config)}, err
}

// External is workers of the pool at an address, HOST:PORT.
func External(address string) Workers { return Workers{graphx.URNEnvExternal, address} }

// Run submits a pipeline and waits for its end. Once ctx is done it returns; workers in
// this process are cut off, but whether the job goes on is the server's matter.
func Run(ctx context.Context, server jobpb.JobServiceClient, p *beam.Pipeline, j Job) error {
	if j.Workers == (Workers{}) {
		pool, err := extworker.StartLoopback(ctx, 0)
		if err != nil {
			return fmt.Errorf("start workers in this process: %w", err)
		}
		defer pool.Stop(ctx)
		j.Workers = External(pool.EnvironmentConfig(ctx))
	}
	edges, _, err := p.Build()
	if err != nil {
		return fmt.Errorf("build pipeline: %w", err)
	}
	environment, err := graphx.CreateEnvironment(ctx, j.Workers.urn, func(context.Context) string { return j.Workers.config })
	if err != nil {
		return fmt.Errorf("describe workers: %w", err)
	}
	environment.Dependencies = nil // of a worker binary
	pipeline, err := graphx.Marshal(edges, &graphx.Options{Environment: environment})
	if err != nil {
		return fmt.Errorf("encode pipeline: %w", err)
	}
	options := &runnerlib.JobOptions{Name: j.Name, Parallelism: j.Parallelism}
	if j.Parallelism == 0 {
		options.Parallelism = -1
	}
	id, artifacts, token, err := runnerlib.Prepare(ctx, server, pipeline, options)
	if err != nil {
		return err
	}
	if token, err = runnerlib.Stage(ctx, id, artifacts, os.DevNull, token); err != nil {
		return err
	}
	job, err := runnerlib.Submit(ctx, server, id, token)
	if err != nil {
		return err
	}
	return runnerlib.WaitForCompletion(ctx, server, job)
}
