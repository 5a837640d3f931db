// Package worker turns the binary into a Beam worker when a runner starts it.
//
// A runner starts workers with flags of Beam's own, so this is decided before
// any command line of ours is read. In a PROCESS environment a runner gives only
// --id and --provision_endpoint; the rest is asked from its provision service
// here, which makes the binary its own boot program: nothing is staged.
package worker

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

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

// Serve runs the worker; it returns only if it cannot start.
func Serve() error {
	flag.Parse()
	if err := boot(); err != nil {
		return fmt.Errorf("worker: ask %s for its endpoints: %w", *provisionEndpoint, err)
	}
	beam.Init()
	return fmt.Errorf("worker: started without a control endpoint")
}

// boot sets the flags and variables that Beam's own boot program would have set.
func boot() error {
	if *provisionEndpoint == "" {
		return nil
	}
	ctx := grpcx.WriteWorkerID(context.Background(), flag.Lookup("id").Value.String())
	info, err := tools.ProvisionInfo(ctx, *provisionEndpoint)
	if err != nil {
		return err
	}
	set := map[string]string{
		"worker":           "true",
		"logging_endpoint": info.GetLoggingEndpoint().GetUrl(),
		"control_endpoint": info.GetControlEndpoint().GetUrl(),
	}
	for name, value := range set {
		if value == "" {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			return err
		}
	}
	options, err := tools.ProtoToJSON(info.GetPipelineOptions())
	if err != nil {
		return err
	}
	if err := tools.MakePipelineOptionsFileAndEnvVar(options); err != nil {
		return err
	}
	if url := info.GetStatusEndpoint().GetUrl(); url != "" {
		os.Setenv("STATUS_ENDPOINT", url)
	}
	if c := info.GetRunnerCapabilities(); len(c) > 0 {
		os.Setenv("RUNNER_CAPABILITIES", strings.Join(c, " "))
	}
	return nil
}
