//go:build unix

package pipelines

import (
	"syscall"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/runners"
)

func init() {
	register.DoFn2x0[int, func(int)](&sleepFn{})
	register.Emitter1[int]()
}

// sleepFn works for as many milliseconds as its element says.
type sleepFn struct{}

func (*sleepFn) ProcessElement(ms int, emit func(int)) {
	time.Sleep(time.Duration(ms) * time.Millisecond)
	emit(ms)
}

// TestRead holds the time that the runner takes beside a bundle to a part of it: without
// read it is all of it, a whole core.
func TestRead(t *testing.T) {
	const ms = 1000
	p, s := beam.NewPipelineWithRoot()
	read(s, beam.ParDo(s, &sleepFn{}, beam.Reshuffle(s, beam.Create(s, ms))))
	allRead(t, "sleep", p)
	before := cpuTime(t)
	if err := runners.Run(t.Context(), p, runners.Options{}); err != nil {
		t.Fatal(err)
	}
	if took := cpuTime(t) - before; took > ms/2*time.Millisecond {
		t.Errorf("%v of computing beside a bundle that slept for %d ms", took, ms)
	}
}

// allRead finds DoFns whose outputs nobody reads, or who have none.
func allRead(t *testing.T, name string, p *beam.Pipeline) {
	t.Helper()
	edges, _, err := p.Build()
	if err != nil {
		t.Fatal(err)
	}
	reads := map[int]bool{}
	for _, e := range edges {
		for _, in := range e.Input {
			reads[in.From.ID()] = true
		}
	}
	for _, e := range edges {
		read := false
		for _, out := range e.Output {
			read = read || reads[out.To.ID()]
		}
		if e.Op == graph.ParDo && !read {
			t.Errorf("%s: nobody reads what %s gives: Prism would spin", name, e.Name())
		}
	}
}

func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
