package worker

import (
	"runtime"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/util/hooks"
)

// The worker of a job gets the threads of the command that submits it by the job's options.
func TestThreads(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	defer func() { _ = Threads(0) }()
	if err := Threads(3); err != nil {
		t.Fatal(err)
	}
	if n := runtime.GOMAXPROCS(0); n != 3 {
		t.Errorf("%d threads here, want 3", n)
	}
	hooks.SerializeHooksToOptions()
	runtime.GOMAXPROCS(before)
	hooks.DeserializeHooksFromOptions(t.Context()) // as a worker begins
	if _, err := hooks.RunInitHooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := runtime.GOMAXPROCS(0); n != 3 {
		t.Errorf("%d threads in the worker, want 3", n)
	}
	if err := Threads(0); err != nil {
		t.Fatal(err)
	}
	if on, _ := hooks.IsEnabled(threadsHook); on || runtime.GOMAXPROCS(0) != 3 {
		t.Error("0 does not leave things as they are")
	}
}
