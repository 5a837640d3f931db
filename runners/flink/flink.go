// Package flink runs pipelines on a Flink cluster by way of Beam's job server.
//
// Workers are this same binary: PROCESS starts it on every worker host (it must
// sit there under the same path), LOOPBACK runs the DoFns in this process.
package flink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal"
)

// Options name a cluster.
type Options struct {
	Endpoint    string // host:port of the job server
	Environment string // PROCESS (default), LOOPBACK or EXTERNAL
	Config      string // EXTERNAL: host:port of the worker pool; PROCESS: path of the binary, default this one
	Parallelism int    // bundles at once; 0: the cluster's default
}

// Check reports options that cannot work.
func (o Options) Check() error {
	if o.Endpoint == "" {
		return errors.New("flink: no job server; give --endpoint=HOST:PORT of Beam's Flink job server")
	}
	switch strings.ToUpper(o.Environment) {
	case "", "PROCESS", "LOOPBACK":
		return nil
	case "EXTERNAL":
		if o.Config == "" {
			return errors.New("flink: EXTERNAL needs --environment-config=HOST:PORT of the worker pool")
		}
		return nil
	}
	return fmt.Errorf("flink: no environment %q; use PROCESS, LOOPBACK or EXTERNAL", o.Environment)
}

// Run submits a pipeline and waits for its end.
func Run(ctx context.Context, p *beam.Pipeline, o Options) error {
	environment := strings.ToUpper(o.Environment)
	if environment == "" {
		environment = "PROCESS"
	}
	config := o.Config
	if environment == "PROCESS" {
		binary, err := workerBinary(o.Config)
		if err != nil {
			return err
		}
		quoted, err := json.Marshal(map[string]string{"command": binary})
		if err != nil {
			return fmt.Errorf("flink: describe worker: %w", err)
		}
		config = string(quoted)
	}
	*jobopts.Endpoint = o.Endpoint
	*jobopts.EnvironmentType = environment
	*jobopts.EnvironmentConfig = config
	if o.Parallelism > 0 {
		*jobopts.Parallelism = o.Parallelism
	}
	if _, err := universal.Execute(ctx, p); err != nil {
		return fmt.Errorf("flink: %w", err)
	}
	return nil
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
