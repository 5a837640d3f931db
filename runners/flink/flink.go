// Package flink runs pipelines on a Flink cluster by way of Beam's job server.
//
// Workers are this same binary: PROCESS starts it on every worker host (it must
// sit there under the same path), EXTERNAL asks a pool for it (see Pool), LOOPBACK
// runs the DoFns in this process. Nothing is staged but a file of a few bytes.
package flink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal"

	"noisystudent/runners/flink/cluster"
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

// one job at a time: Beam takes what to submit from variables.
var one sync.Mutex

// Run submits a pipeline and waits for its end. Once ctx is done the job is
// cancelled, on a cluster that `noisystudent flink up` has started; others keep it.
func Run(ctx context.Context, p *beam.Pipeline, o Options) error {
	one.Lock()
	defer one.Unlock()
	at, err := o.cluster()
	if err != nil {
		return err
	}
	if !cluster.Answers(ctx, at.Endpoint) {
		return fmt.Errorf("flink: no job server answers at %s; `noisystudent flink status` says more, `noisystudent flink up` starts what is missing", at.Endpoint)
	}
	name, config, err := o.workers()
	if err != nil {
		return err
	}
	if o.environment() == "LOOPBACK" {
		pool, err := OpenPool(ctx, 0)
		if err != nil {
			return err
		}
		defer pool.Close()
		name, config = "EXTERNAL", pool.Address()
	}
	staged, err := stagedFile()
	if err != nil {
		return err
	}
	defer os.Remove(staged)
	job := fmt.Sprintf("noisystudent%dx%d", os.Getpid(), time.Now().UnixNano()) // Beam's job server would change other letters
	*jobopts.Endpoint, *jobopts.JobName, *jobopts.WorkerBinary = at.Endpoint, job, staged
	*jobopts.EnvironmentType, *jobopts.EnvironmentConfig = name, config
	*jobopts.Parallelism = -1
	if o.Parallelism > 0 {
		*jobopts.Parallelism = o.Parallelism
	}
	_, err = universal.Execute(ctx, p)
	if ctx.Err() != nil {
		err = ctx.Err()
		if at.REST != "" {
			err = errors.Join(err, cluster.Cancel(context.WithoutCancel(ctx), at, job))
		}
	}
	if err != nil {
		return fmt.Errorf("flink: %w", err)
	}
	return nil
}

// workers describes the environment of the workers to Beam.
func (o Options) workers() (name, config string, err error) {
	if o.environment() != "PROCESS" {
		return o.environment(), o.Config, nil
	}
	binary, err := workerBinary(o.Config)
	if err != nil {
		return "", "", err
	}
	quoted, err := json.Marshal(map[string]string{"command": binary})
	if err != nil {
		return "", "", fmt.Errorf("flink: describe worker: %w", err)
	}
	return "PROCESS", string(quoted), nil
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

// stagedFile makes the file that Beam ships to workers as their binary. Ours have it.
func stagedFile() (string, error) {
	f, err := os.CreateTemp("", "noisystudent-staged-*")
	if err != nil {
		return "", fmt.Errorf("flink: %w", err)
	}
	if _, err := f.WriteString("workers are there already\n"); err != nil {
		return "", errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f.Name(), f.Close()
}
