// Package dataflow submits pipelines to Google Cloud Dataflow.
//
// Every stage is a job of its own, so that only those that compute networks have an
// accelerator: resource hints of Beam's Go SDK hold for a whole job (Beam issue
// 23893). Workers are containers that hold Beam's boot program, which fetches this
// binary from the staging folder; Dockerfile and Dockerfile.cuda make them.
package dataflow

import (
	"context"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/gcpopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"
)

// Options name a project and what its workers are.
type Options struct {
	Project, Region string
	Staging         string // gs://bucket/prefix for the binary
	Image           string // worker container image; empty: Beam's own
	MachineType     string // empty: the smallest n1-highmem, or g2-standard for L4, that holds the job
	Accelerator     string // of jobs that compute networks: TYPE or TYPE:COUNT
	MaxWorkers      int64  // 0: Dataflow decides
	ServiceAccount  string // whose rights the workers have; empty: the project's default
	Subnetwork      string // of workers without public addresses
	Binary          string // that workers run; empty: this one
	DryRun          bool   // print the job instead of submitting it
	Job             Job    // the pipeline at hand
}

// Job is what a pipeline takes.
type Job struct {
	Name     string // of the stage, such as preprocess
	RAMBytes int64  // of a worker; 0: unknown
	Network  bool   // it computes networks
}

var (
	zone        = regexp.MustCompile(`^[a-z]+-[a-z]+\d+-[a-z]$`)
	accelerator = regexp.MustCompile(`^[a-z][a-z0-9-]*(:[1-9][0-9]?)?$`)
)

// Check reports options that cannot work.
func (o Options) Check() error {
	kind, _ := o.cards()
	switch {
	case o.Project == "":
		return errors.New("dataflow: no project; give --project=ID")
	case o.Region == "":
		return errors.New("dataflow: no region; give --region=NAME")
	case zone.MatchString(o.Region):
		return fmt.Errorf("dataflow: %s is a zone; give the region, --region=%s", o.Region, o.Region[:strings.LastIndexByte(o.Region, '-')])
	case o.Staging == "":
		return errors.New("dataflow: no staging folder; give --staging=gs://BUCKET/PREFIX")
	case !strings.HasPrefix(o.Staging, "gs://") || len(o.Staging) == len("gs://"):
		return fmt.Errorf("dataflow: workers cannot fetch the binary from %s; give --staging=gs://BUCKET/PREFIX", o.Staging)
	case o.Accelerator != "" && !accelerator.MatchString(o.Accelerator):
		return fmt.Errorf("dataflow: accelerator %q; write TYPE or TYPE:COUNT, such as nvidia-l4:1", o.Accelerator)
	case tooOld[kind] != "":
		return fmt.Errorf("dataflow: %s has compute capability %s and the kernels need 8.0; give --accelerator=nvidia-l4, nvidia-tesla-a100, nvidia-a100-80gb or nvidia-h100-80gb", kind, tooOld[kind])
	case o.Accelerator != "" && o.Image == "":
		return errors.New("dataflow: Beam's own worker image has no CUDA; make one of runners/dataflow/Dockerfile.cuda and give --worker-image")
	case o.MaxWorkers < 0:
		return fmt.Errorf("dataflow: %d workers at most; give 1 or more, or 0 to let Dataflow decide", o.MaxWorkers)
	}
	return nil
}

// Run submits a pipeline and waits for its end. With DryRun it submits nothing, needs
// no credentials, and returns the job as a *DryRun.
func Run(ctx context.Context, p *beam.Pipeline, o Options) error {
	machine, err := o.machine()
	if err != nil {
		return err
	}
	if !o.DryRun {
		if err := checkBinary(o.Binary); err != nil {
			return err
		}
	}
	defer inContainers()()
	if err := o.setFlags(machine); err != nil {
		return err
	}
	if o.DryRun {
		return dryRun(ctx, p)
	}
	if _, err := dataflow.Execute(ctx, p); err != nil {
		return fmt.Errorf("dataflow: %w", err)
	}
	return nil
}

// setFlags gives Beam the job's options, all of them: the job before left its own.
// They are set past the flag set, which would copy them into the job once more.
func (o Options) setFlags(machine string) error {
	*gcpopts.Project, *gcpopts.Region = o.Project, o.Region
	*jobopts.JobName = jobName(o.Job.Name, time.Now())
	*jobopts.WorkerBinary = o.Binary
	jobopts.ResourceHints = nil
	if o.Job.RAMBytes > 0 {
		jobopts.ResourceHints = append(jobopts.ResourceHints, fmt.Sprintf("min_ram=%dB", o.Job.RAMBytes))
	}
	for name, value := range map[string]string{
		"staging_location":         o.Staging,
		"sdk_container_image":      o.Image,
		"worker_machine_type":      machine,
		"max_num_workers":          fmt.Sprint(o.MaxWorkers),
		"service_account_email":    o.ServiceAccount,
		"subnetwork":               o.Subnetwork,
		"no_use_public_ips":        fmt.Sprint(o.Subnetwork != ""),
		"use_public_ips":           fmt.Sprint(o.Subnetwork == ""),
		"dataflow_service_options": o.serviceOptions(),
		"dry_run":                  fmt.Sprint(o.DryRun),
	} {
		f := flag.Lookup(name)
		if f == nil {
			return fmt.Errorf("dataflow: this version of Beam has no option %s", name)
		}
		if err := f.Value.Set(value); err != nil {
			return fmt.Errorf("dataflow: set %s: %w", name, err)
		}
	}
	return nil
}

// inContainers lets workers be containers, whatever a runner of this process had before
// and has again at the end.
func inContainers() (restore func()) {
	kind, config := *jobopts.EnvironmentType, *jobopts.EnvironmentConfig
	*jobopts.EnvironmentType, *jobopts.EnvironmentConfig = "DOCKER", ""
	return func() { *jobopts.EnvironmentType, *jobopts.EnvironmentConfig = kind, config }
}

// serviceOptions asks for the accelerator and its driver where the job has a use for it.
func (o Options) serviceOptions() string {
	if o.Accelerator == "" || !o.Job.Network {
		return ""
	}
	kind, count := o.cards()
	return "worker_accelerator=type:" + kind + ";count:" + count + ";install-nvidia-driver:5xx"
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// jobName is unique among the jobs of a project by its time.
func jobName(stage string, now time.Time) string {
	stage = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(stage), "-"), "-")
	if stage == "" {
		stage = "job"
	}
	return strings.ReplaceAll("noisystudent-"+stage+"-"+now.UTC().Format("20060102-150405.000"), ".", "-")
}

// checkBinary refuses what a worker cannot start, before anything is submitted.
func checkBinary(path string) (err error) {
	if path == "" {
		if path, err = os.Executable(); err != nil {
			return fmt.Errorf("dataflow: find this binary: %w; name it with --worker-binary", err)
		}
	}
	if err := portable(path); err != nil {
		return fmt.Errorf("dataflow: workers cannot run %s: %w; make it with CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -o noisystudent . and give --worker-binary=noisystudent", path, err)
	}
	return nil
}

// portable checks that a program was built for workers and needs none of the
// libraries of the machine that built it.
func portable(path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("not a Go program: %w", err)
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "CGO_ENABLED" && s.Value != "0":
			return errors.New("it is linked to libraries of the machine that built it")
		case s.Key == "GOOS" && s.Value != "linux", s.Key == "GOARCH" && s.Value != "amd64":
			return fmt.Errorf("it is built for %s", s.Value)
		}
	}
	return nil
}
