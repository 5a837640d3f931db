package dataflow

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() { register.Function1x1(upper) }

func upper(s string) string { return strings.ToUpper(s) }

func TestMain(m *testing.M) {
	flag.Parse()
	beam.Init()
	os.Exit(m.Run())
}

// job is what the tests read of a job.
type job struct {
	Name        string
	Environment struct {
		ServiceOptions      []string
		ServiceAccountEmail string
		WorkerPools         []struct {
			MachineType                 string
			Subnetwork, IPConfiguration string
			WorkerHarnessContainerImage string
			SDKHarnessContainerImages   []struct{ ContainerImage string }
			AutoscalingSettings         struct{ MaxNumWorkers int64 }
			Packages                    []struct{ Location string }
		}
	}
}

var full = Options{
	Project: "p", Region: "europe-west3", Staging: "gs://b/staging", Image: "example.com/worker:cuda", Accelerator: "nvidia-l4",
	MaxWorkers: 20, ServiceAccount: "worker@example.com", Subnetwork: "regions/europe-west3/subnetworks/s", DryRun: true,
	Job: Job{Name: "Predict test 1", RAMBytes: 20 << 30, Network: true},
}

// translate makes a dry run of a small pipeline.
func translate(t *testing.T, o Options) (job, *DryRun) {
	t.Helper()
	p, s := beam.NewPipelineWithRoot()
	beam.ParDo(s, upper, beam.Create(s, "x"))
	var dry *DryRun
	if err := Run(t.Context(), p, o); !errors.As(err, &dry) {
		t.Fatal(err)
	}
	var j job
	if err := json.Unmarshal([]byte(dry.Job), &j); err != nil {
		t.Fatal(err)
	}
	return j, dry
}

func TestDryRun(t *testing.T) {
	j, dry := translate(t, full)
	pool := j.Environment.WorkerPools[0]
	if !regexp.MustCompile(`^noisystudent-predict-test-1-\d{8}-\d{6}-\d{3}$`).MatchString(j.Name) {
		t.Errorf("name %q", j.Name)
	}
	if got := strings.Join(j.Environment.ServiceOptions, ","); got != "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx" {
		t.Errorf("service options %q", got)
	}
	if pool.MachineType != "g2-standard-8" || pool.WorkerHarnessContainerImage != full.Image || pool.SDKHarnessContainerImages[0].ContainerImage != full.Image {
		t.Errorf("workers %+v", pool)
	}
	if pool.AutoscalingSettings.MaxNumWorkers != 20 || pool.Subnetwork != full.Subnetwork || pool.IPConfiguration != "WORKER_IP_PRIVATE" || j.Environment.ServiceAccountEmail != full.ServiceAccount {
		t.Errorf("environment %+v", j.Environment)
	}
	if !strings.HasPrefix(pool.Packages[0].Location, "gs://b/staging/") {
		t.Errorf("packages %+v", pool.Packages)
	}
	if !strings.Contains(dry.Model, "beam:resources:min_ram_bytes:v1") || !strings.Contains(dry.Model, "21474836480") {
		t.Errorf("no hint of 20 GiB in %s", dry.Model)
	}
}

// A job does not inherit from the one before, in the same process, what only that one needs.
func TestDryRunOfTheNextJob(t *testing.T) {
	translate(t, full)
	next := full
	next.Subnetwork, next.ServiceAccount, next.MachineType = "", "", "e2-standard-4"
	next.Job = Job{Name: "evaluate"}
	j, dry := translate(t, next)
	pool := j.Environment.WorkerPools[0]
	if len(j.Environment.ServiceOptions) != 0 || pool.Subnetwork != "" || pool.IPConfiguration == "WORKER_IP_PRIVATE" || pool.MachineType != "e2-standard-4" {
		t.Errorf("%+v", j)
	}
	for _, text := range []string{dry.Job, dry.Model} {
		if strings.Contains(text, "nvidia") || strings.Contains(text, "min_ram") {
			t.Errorf("left over: %s", text)
		}
	}
}

// TestDryRunAlone demands that a dry run asks nobody anything and tells no secrets.
func TestDryRunAlone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan bool, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
			asked <- true
		}
	}()
	key := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(key, []byte(`{"type": "service_account", "private_key": "SECRET-KEY", "client_email": "x@example.com"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", key)
	t.Setenv("STORAGE_EMULATOR_HOST", l.Addr().String())
	t.Setenv("HTTPS_PROXY", "http://user:SECRET-PASSWORD@"+l.Addr().String())
	t.Setenv("GCE_METADATA_HOST", l.Addr().String())
	t.Setenv("API_TOKEN", "SECRET-TOKEN")
	start := time.Now()
	_, dry := translate(t, full)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	for _, text := range []string{dry.Job, dry.Model, dry.Error()} {
		if strings.Contains(text, "SECRET") || strings.Contains(text, key) {
			t.Errorf("tells a secret: %s", text)
		}
	}
	select {
	case <-asked:
		t.Error("somebody was asked over the network")
	default:
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(*Options) {}, ""},
		{func(o *Options) { o.Accelerator, o.Image = "", "" }, ""},
		{func(o *Options) { o.Accelerator = "nvidia-l4:2" }, ""},
		{func(o *Options) { o.Project = "" }, "--project=ID"},
		{func(o *Options) { o.Region = "" }, "--region=NAME"},
		{func(o *Options) { o.Region = "europe-west3-a" }, "--region=europe-west3"},
		{func(o *Options) { o.Staging = "" }, "--staging=gs://"},
		{func(o *Options) { o.Staging = "/tmp/staging" }, "cannot fetch the binary from /tmp/staging"},
		{func(o *Options) { o.Staging = "gs://" }, "--staging=gs://"},
		{func(o *Options) { o.Image = "" }, "Dockerfile.cuda"},
		{func(o *Options) { o.Accelerator = "nvidia-l4,count=2" }, "TYPE or TYPE:COUNT"},
		{func(o *Options) { o.Accelerator = "nvidia-l4:0" }, "TYPE or TYPE:COUNT"},
		{func(o *Options) { o.Accelerator = "nvidia-tesla-t4:2" }, "nvidia-tesla-t4 has compute capability 7.5"},
		{func(o *Options) { o.MaxWorkers = -1 }, "-1 workers"},
	} {
		o := full
		c.change(&o)
		if err := o.Check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", o, err, c.want)
		}
	}
}

func TestMachine(t *testing.T) {
	for _, c := range []struct {
		asked, accelerator string
		gib                int64
		want               string // or part of the error
	}{
		{"", "", 0, "n1-highmem-2"},
		{"", "", 13, "n1-highmem-2"},
		{"", "", 14, "n1-highmem-4"},
		{"", "", 600, "n1-highmem-96"},
		{"", "", 700, "name a --machine-type"},
		{"", "nvidia-l4", 20, "g2-standard-8"},
		{"", "nvidia-l4:2", 20, "g2-standard-24"},
		{"", "nvidia-l4:3", 20, "no machine with --accelerator nvidia-l4:3 is known"},
		{"", "nvidia-tesla-a100", 85, "a2-highgpu-1g"},
		{"", "nvidia-h100-80gb:8", 900, "a3-highgpu-8g"},
		{"", "nvidia-a100-80gb", 171, "more than a2-ultragpu-1g has"},
		{"a2-highgpu-1g", "nvidia-tesla-a100", 86, "has 87040 MiB and the job takes 88064"},
		{"n1-standard-8", "", 30, "n1-standard-8"},
		{"n1-standard-8", "", 31, "has 30720 MiB and the job takes 31744"},
		{"g2-standard-4", "nvidia-l4", 16, "g2-standard-4"},
		{"custom-8-16384", "", 100, "custom-8-16384"},
		{"x9-future-4", "", 100, "x9-future-4"},
	} {
		got, err := Options{MachineType: c.asked, Accelerator: c.accelerator, Job: Job{RAMBytes: c.gib << 30, Network: true}}.machine()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%q for %d GiB: %q, want %q", c.asked, c.gib, got, c.want)
		}
	}
}

// A binary that a worker cannot start is refused before anything is submitted.
func TestBinary(t *testing.T) {
	script := filepath.Join(t.TempDir(), "noisystudent")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p, s := beam.NewPipelineWithRoot()
	beam.ParDo(s, upper, beam.Create(s, "x"))
	o := full
	o.DryRun, o.Binary = false, script
	if err := Run(context.Background(), p, o); err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("a script: %v", err)
	}
}
