// Package pipelines builds and runs the work: plan, preprocess, train, pseudolabel,
// student, predict, evaluate, and loop and demo, which chain them. Options in,
// Beam graphs out; no algorithms.
//
// Every pipeline can be run again: what the ledger and the checkpoints say is done
// is not done twice, and what is missing is made, also by the commands that need it.
package pipelines

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"noisystudent/model/engine"
	"noisystudent/runners"
	"noisystudent/transforms/memory"
	"noisystudent/transforms/plan"
)

// Options are what all pipelines share.
type Options struct {
	Dataset        string // nnU-Net v2 raw layout: a folder or gs:// prefix
	UnlabelledPool string // glob or prefix of more unlabelled scans
	Store          string // where everything made goes
	Runner         runners.Options
	Device         string        // auto (or empty), cpu, cuda, cuda:N or ref
	Kernels        string        // of the CPU: avx512, avx2 or generic; empty: NOISYSTUDENT_CPU, then the best
	Threads        int           // 0: all
	Precision      string        // mixed, fp32, bf16, fp16, exact or auto; empty: the plan's
	Shards         int           // that cases to label are dealt into; 0: see deal
	MemoryBytes    int64         // 0: what the cgroup or the machine allows
	Seed           uint64        // of everything random
	Preset         string        // of the plan
	Set            []string      // plan fields, name=value
	KeepLargest    []string      // names for the plan's inference.keep_largest
	Replan         bool          // make the plan anew
	Retrain        bool          // start models over that were trained from other inputs
	TimeBudget     time.Duration // that the plan's epochs are fitted to; 0: they are as planned
	Progress       Progress      // may be nil

	largest int64 // bytes of the largest case met, where workers' machines are chosen for it
}

// UsageError is a request that cannot be meant: a wrong name, or something that is
// needed and not given. Nothing was done.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

// misuse makes a UsageError.
func misuse(format string, a ...any) error {
	return &UsageError{"pipelines: " + fmt.Sprintf(format, a...)}
}

// Devices are the names that Options.Device may have. The engine's null device
// computes nothing, so it is not among them.
func Devices() []string {
	names := slices.DeleteFunc(engine.Devices(), func(name string) bool { return name == "null" })
	return slices.Insert(names, slices.Index(names, "cuda")+1, "cuda:N")
}

// check reports options that cannot work, before anything is done.
func (o Options) check() error {
	switch {
	case o.Device == "null" || !engine.Known(o.Device):
		return misuse("no device %q; use %s", o.Device, strings.Join(Devices(), ", "))
	case o.Threads < 0:
		return misuse("%d threads; give 1 or more, or 0 for all", o.Threads)
	case o.Shards < 0:
		return misuse("%d shards; give 1 or more, or 0 for the default", o.Shards)
	case o.TimeBudget < 0:
		return misuse("a time budget of %v; give more, such as 2h", o.TimeBudget)
	case o.TimeBudget > 0 && !o.Runner.Local():
		return misuse("a time budget is fitted to steps that are timed on this machine, and %s computes elsewhere; give --set training.teacher_epochs=… and its like", o.Runner.Runner)
	case o.MemoryBytes < 0:
		return misuse("%d bytes of memory; give more, or 0 for what the machine allows", o.MemoryBytes)
	case o.Precision != "" && !slices.Contains(precisions(), o.Precision):
		return misuse("no precision %q; use %s", o.Precision, strings.Join(precisions(), ", "))
	case o.Preset != "" && !slices.Contains(plan.Presets(), o.Preset):
		return misuse("no preset %q; use %s", o.Preset, strings.Join(plan.Presets(), ", "))
	}
	if err := o.checkDevice(); err != nil {
		return err
	}
	if err := o.Runner.Check(); err != nil {
		return &UsageError{err.Error()}
	}
	if _, err := o.overrides(); err != nil {
		return &UsageError{err.Error()}
	}
	return o.reachable(o.Store, o.Dataset, o.UnlabelledPool)
}

// checkDevice opens what is to compute, where that is this machine.
func (o Options) checkDevice() error {
	if !o.Runner.Local() {
		return nil
	}
	e, err := engine.Open(engine.Options{Device: o.Device, Threads: 1, Kernels: o.Kernels})
	if err != nil {
		return &UsageError{err.Error()}
	}
	return e.Close()
}

// overrides are the plan's fields that flags decide.
func (o Options) overrides() (map[string]string, error) {
	fields, err := plan.Overrides(o.Set)
	if _, set := fields["training.time_budget"]; set {
		return nil, misuse("training.time_budget says what was done; give --time-budget")
	}
	if err == nil && o.Precision != "" && o.Precision != auto {
		for _, path := range []string{"training.precision", "inference.precision"} {
			if _, set := fields[path]; !set {
				fields[path] = o.Precision
			}
		}
	}
	if err == nil && len(o.KeepLargest) > 0 {
		fields["inference.keep_largest"] = strings.Join(o.KeepLargest, ",")
	}
	return fields, err
}

// reachable refuses addresses that Dataflow's workers cannot open.
func (o Options) reachable(addresses ...string) error {
	for _, a := range addresses {
		if o.Runner.Cloud() && a != "" && !strings.HasPrefix(a, "gs://") {
			return misuse("Dataflow's workers cannot open %s; copy it to a bucket and give gs://BUCKET/PREFIX", a)
		}
	}
	return nil
}

// threads returns how many threads to use; 0 leaves it to workers elsewhere.
func (o Options) threads() int {
	if o.Threads > 0 || !o.Runner.Local() {
		return o.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// TakeTurns says that bundles of one process would wait for one another's networks;
// empty where they would not, or nobody knows.
func (o Options) TakeTurns() string {
	n := o.threads()
	if n == 0 || !o.Runner.SharedProcess() || o.Runner.AtOnce() <= n {
		return ""
	}
	return fmt.Sprintf("flink: bundles take turns, %d at once in a worker process of %d threads", o.Runner.AtOnce(), n)
}

// workerBytes is what workers elsewhere may use where nobody says: their machines
// are not this one.
const workerBytes = 6 << 30

// memory returns the bytes that cases and networks of one process may take.
func (o Options) memory() int64 {
	switch {
	case o.MemoryBytes > 0:
		return o.MemoryBytes
	case !o.Runner.Local():
		return max(workerBytes, o.largest)
	}
	return memory.Budget()
}
