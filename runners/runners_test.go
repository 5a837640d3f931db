package runners

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/runners/dataflow"
	"noisystudent/runners/flink"
)

func init() {
	register.DoFn1x1[string, error](&failFn{})
	beam.RegisterType(reflect.TypeFor[failFn]())
}

type failFn struct{}

func (*failFn) ProcessElement(text string) error {
	if text == "wait" {
		select {}
	}
	return errors.New(text)
}

func graph(text string) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	beam.ParDo0(s, &failFn{}, beam.Create(s, text))
	return p
}

func TestMain(m *testing.M) {
	if err := Init(context.Background(), io.Discard, false); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestFailureIsOneLine(t *testing.T) {
	const cause = "store: write x: no space left on device; make room"
	err := Run(t.Context(), graph(cause), Options{})
	if err == nil || err.Error() != "runners: "+cause {
		t.Errorf("%q", err)
	}
	if whole := errors.Unwrap(err); whole == nil || !strings.Contains(whole.Error(), "failFn") {
		t.Errorf("the whole is %q", whole)
	}
}

// A pipeline that is interrupted returns at once, at whatever moment and though its
// DoFn does not, and leaves nothing in the folder of temporary files.
func TestInterrupt(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short, which is the race detector's pass: Prism 2.77 races with itself where one pipeline starts while another ends")
	}
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	for _, after := range []time.Duration{0, 5 * time.Millisecond, 2100 * time.Millisecond} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(after, cancel)
		start := time.Now()
		if err := Run(ctx, graph("wait"), Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if took := time.Since(start) - after; took > 3*time.Second {
			t.Errorf("interrupted after %v, it took %v more", after, took)
		}
		if err := Run(ctx, graph("x"), Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("afterwards: %v", err)
		}
		waitEmpty(t, folder)
	}
}

// waitEmpty waits for the end of pipelines that were cut off.
func waitEmpty(t *testing.T, folder string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left, err := os.ReadDir(folder)
		if err == nil && len(left) == 0 && os.Getenv("TMPDIR") == folder {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v is left, %v, TMPDIR is %s", left, err, os.Getenv("TMPDIR"))
		}
	}
}

func TestCheck(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no cluster of this user's
	t.Setenv("HOME", t.TempDir())
	for _, c := range []struct {
		o     Options
		want  string
		local bool
	}{
		{Options{}, "", true},
		{Options{Runner: "prism"}, "", true},
		{Options{Runner: "direct"}, "", true},
		{Options{Runner: "spark"}, "use prism, flink or dataflow", false},
		{Options{Runner: "flink"}, "`noisystudent flink up`, or give --endpoint=HOST:PORT", false},
		{Options{Runner: "flink", Flink: flink.Options{Endpoint: "h:1"}}, "", false},
		{Options{Runner: "flink", Flink: flink.Options{Endpoint: "h:1", Environment: "DOCKER"}}, "use PROCESS, LOOPBACK or EXTERNAL", false},
		{Options{Runner: "flink", Flink: flink.Options{Endpoint: "h:1", Environment: "EXTERNAL"}}, "--environment-config", false},
		{Options{Runner: "flink", Flink: flink.Options{Endpoint: "h:1", Environment: "loopback"}}, "", true},
		{Options{Runner: "dataflow"}, "--project=ID", false},
		{Options{Runner: "dataflow", Dataflow: dataflow.Options{Project: "p", Region: "r"}}, "--staging=gs://", false},
		{Options{Runner: "dataflow", Dataflow: dataflow.Options{Project: "p", Region: "r", Staging: "gs://b"}}, "", false},
		{Options{Runner: "dataflow", Flink: flink.Options{Environment: "LOOPBACK"}, Dataflow: dataflow.Options{Project: "p", Region: "r", Staging: "gs://b"}}, "are Flink's", false},
		{Options{Dataflow: dataflow.Options{DryRun: true}}, "add --runner=dataflow", true},
	} {
		err := c.o.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || c.o.Local() != c.local {
			t.Errorf("%+v: %v, local %v", c.o, err, c.o.Local())
		}
	}
}

func TestBeamFlags(t *testing.T) {
	for _, name := range []string{"-worker", "-control_endpoint", "-environment_type"} {
		if !strings.Contains(BeamFlags(), name+" ") && !strings.Contains(BeamFlags(), name+"\n") {
			t.Errorf("no flag %s", name)
		}
	}
}

func TestLogEndsWithContext(t *testing.T) {
	old := slog.Default()
	defer slog.SetDefault(old)
	var log strings.Builder
	ctx, cancel := context.WithCancel(t.Context())
	if err := Init(ctx, &log, true); err != nil {
		t.Fatal(err)
	}
	slog.With("case", "a").WithGroup("g").Info("before")
	cancel()
	slog.With("case", "a").WithGroup("g").Error("after")
	if !strings.Contains(log.String(), "before") || strings.Contains(log.String(), "after") {
		t.Errorf("%s", log.String())
	}
}
