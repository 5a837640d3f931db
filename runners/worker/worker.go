// Package worker turns the binary into a Beam worker when a runner starts it.
//
// A runner starts workers with flags of Beam's own, so this is decided before
// any command line of ours is read. In a PROCESS environment a runner gives only
// --id and --provision_endpoint; the rest is asked from its provision service
// here, which makes the binary its own boot program: nothing is staged.
package worker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/container/tools"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
)

var (
	provisionEndpoint = flag.String("provision_endpoint", "", "set by the runner in a PROCESS environment")
	_                 = flag.String("artifact_endpoint", "", "ignored: the binary is already here")
)

// Wanted reports whether a runner started this process as a worker.
func Wanted(args []string) bool {
	for _, a := range args {
		name, dashed := strings.CutPrefix(a, "-")
		name = strings.TrimPrefix(name, "-")
		if dashed && (strings.HasPrefix(name, "worker") || strings.HasPrefix(name, "provision_endpoint")) {
			return true
		}
	}
	return false
}

// Serve runs the worker. It returns if it cannot start, and if the runner that has
// started it dies: Beam's own part of a worker would stay for ever.
func Serve() error {
	flag.Parse()
	parent := os.Getppid()
	if *provisionEndpoint == "" {
		beam.Init()
		return errors.New("worker: started without a control endpoint")
	}
	openLog()
	note("starts as %s of %s", flag.Lookup("id").Value, *provisionEndpoint)
	if err := boot(); err != nil {
		return fmt.Errorf("worker: ask %s for its endpoints: %w", *provisionEndpoint, err)
	}
	ended := make(chan error, 1)
	go func() {
		beam.Init()
		ended <- errors.New("worker: started without a control endpoint")
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Second):
			if os.Getppid() != parent {
				note("ends: the runner that started it is gone")
				return errors.New("worker: the runner that started it is gone")
			}
		}
	}
}

// boot sets the flags and variables that Beam's own boot program would have set.
func boot() error {
	ctx := grpcx.WriteWorkerID(context.Background(), flag.Lookup("id").Value.String())
	info, err := tools.ProvisionInfo(ctx, *provisionEndpoint)
	if err != nil {
		return err
	}
	options, err := tools.ProtoToJSON(info.GetPipelineOptions())
	if err != nil {
		return err
	}
	set := map[string]string{
		"worker":           "true",
		"logging_endpoint": info.GetLoggingEndpoint().GetUrl(),
		"control_endpoint": info.GetControlEndpoint().GetUrl(),
		"options":          options, // a file, as Beam's boot writes it, would be shared by workers that start together
	}
	for name, value := range set {
		if value == "" {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			return err
		}
	}
	if url := info.GetStatusEndpoint().GetUrl(); url != "" {
		os.Setenv("STATUS_ENDPOINT", url)
	}
	if c := info.GetRunnerCapabilities(); len(c) > 0 {
		os.Setenv("RUNNER_CAPABILITIES", strings.Join(c, " "))
	}
	return nil
}
