// Package flink runs pipelines on a Flink cluster by way of Beam's job server.
//
// Workers are this same binary: PROCESS starts it on every worker host (it must
// sit there under the same path), EXTERNAL asks a pool for it (see Pool), LOOPBACK
// runs the DoFns in this process. Nothing is staged.
package flink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"

	"noisystudent/runners/flink/cluster"
	"noisystudent/runners/portable"
)

// Options name a cluster.
type Options struct {
	Endpoint    string // host:port of the job server; empty: of the cluster that `noisystudent flink up` has started
	Environment string // PROCESS (default), LOOPBACK or EXTERNAL
	Config      string // EXTERNAL: host:port of the worker pool; PROCESS: path of the binary, default this one
	Parallelism int    // bundles at once; 0: the cluster's default
}

// environment is where DoFns run.
func (o Options) environment() string {
	if o.Environment == "" {
		return "PROCESS"
	}
	return strings.ToUpper(o.Environment)
}

// Check reports options that cannot work.
func (o Options) Check() error {
	switch o.environment() {
	case "PROCESS", "LOOPBACK":
	case "EXTERNAL":
		if o.Config == "" {
			return errors.New("flink: EXTERNAL needs --environment-config=HOST:PORT of the worker pool, `noisystudent flink pool`")
		}
	default:
		return fmt.Errorf("flink: no environment %q; use PROCESS, LOOPBACK or EXTERNAL", o.Environment)
	}
	state, err := o.cluster()
	if err == nil && state.Slots > 0 && o.Parallelism > state.Slots {
		return fmt.Errorf("flink: --parallelism %d, but the cluster works on %d bundles at once; run `noisystudent flink down`, then `noisystudent flink up --slots %d`", o.Parallelism, state.Slots, o.Parallelism)
	}
	return err
}

// cluster tells where the job server is. Of one that is only named by its address no
// more than that is known.
func (o Options) cluster() (cluster.State, error) {
	state, err := cluster.Read("")
	switch {
	case o.Endpoint != "" && (err != nil || state.Endpoint != o.Endpoint):
		return cluster.State{Endpoint: o.Endpoint}, nil
	case errors.Is(err, fs.ErrNotExist):
		return state, errors.New("flink: no job server; start one here with `noisystudent flink up`, or give --endpoint=HOST:PORT of Beam's Flink job server")
	}
	return state, err
}

// Local reports whether DoFns run on this machine.
func (o Options) Local() bool {
	state, err := o.cluster()
	return o.environment() == "LOOPBACK" || err == nil && state.Local && o.environment() == "PROCESS"
}

// Process reports whether Flink starts the workers, one for each TaskManager.
func (o Options) Process() bool { return o.environment() == "PROCESS" }

// AtOnce is how many bundles are worked on at once; 0: what the cluster's default is.
func (o Options) AtOnce() int {
	if state, err := o.cluster(); o.Parallelism == 0 && err == nil && state.Slots > 0 {
		return 1 // parallelism.default of package cluster
	}
	return o.Parallelism
}

// dialling is how long the job server may take to answer.
const dialling = 2 * time.Minute

// Run submits a pipeline and waits for its end. Once ctx is done the job is
// cancelled, on a cluster that `noisystudent flink up` has started; others keep it.
func Run(ctx context.Context, p *beam.Pipeline, o Options) error {
	at, err := o.cluster()
	if err != nil {
		return err
	}
	if !cluster.Answers(ctx, at.Endpoint) {
		return fmt.Errorf("flink: no job server answers at %s; `noisystudent flink status` says more, `noisystudent flink up` starts what is missing", at.Endpoint)
	}
	workers, err := o.workers()
	if err != nil {
		return err
	}
	conn, err := grpcx.Dial(ctx, at.Endpoint, dialling)
	if err != nil {
		return fmt.Errorf("flink: %w", err)
	}
	defer conn.Close()
	job := portable.Job{
		Name:        fmt.Sprintf("noisystudent%dx%d", os.Getpid(), time.Now().UnixNano()), // Beam's job server would change other letters
		Parallelism: o.Parallelism, Workers: workers,
	}
	err = portable.Run(ctx, jobpb.NewJobServiceClient(conn), p, job)
	if ctx.Err() != nil {
		err = ctx.Err()
		if at.REST != "" {
			err = errors.Join(err, cluster.Cancel(context.WithoutCancel(ctx), at, job.Name))
		}
	}
	if err != nil {
		return fmt.Errorf("flink: %w", err)
	}
	return nil
}

// workers are where DoFns run.
func (o Options) workers() (portable.Workers, error) {
	switch o.environment() {
	case "LOOPBACK":
		return portable.Workers{}, nil
	case "EXTERNAL":
		return portable.External(o.Config), nil
	}
	binary, err := workerBinary(o.Config)
	if err != nil {
		return portable.Workers{}, err
	}
	return portable.Process(binary)
}

func workerBinary(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("flink: find this binary: %w; name it with --environment-config", err)
	}
	return self, nil
}
