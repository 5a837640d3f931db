package pipelines

import (
	"context"
	"fmt"
	"sync"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/runners"
	"noisystudent/runners/dataflow"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/resample"
)

// runnerFor are the runner's options for one stage: its name, the memory that its
// workers must have, of which cases and networks get three quarters as they do here,
// and whether it computes networks.
func (o Options) runnerFor(stage string, network bool) runners.Options {
	r := o.Runner
	r.Dataflow.Job = dataflow.Job{Name: stage, RAMBytes: o.memory() / 3 * 4, Network: network}
	return r
}

// makeRoom finds what the largest of some cases takes where Dataflow's machines are
// chosen for it, unless people have said how much memory to use. Headers suffice; one
// that cannot be read is left to the stage, which says why.
func (r *run) makeRoom(ctx context.Context, list []cases.Case) error {
	if !r.Runner.Cloud() || r.MemoryBytes > 0 {
		return nil
	}
	n, err := r.measured()
	if err != nil {
		return err
	}
	c := predict.Config{Plan: r.plan, Models: make([]predict.ModelRef, max(r.plan.Training.Folds, 1))}
	if n.onCard {
		n.train, n.infer = 0, 0 // not of the machine
	}
	r.largest = max(r.largest, n.train)
	headers(ctx, list, r.plan.Orientation, func(_ cases.Case, g volume.Geometry, f nifti.Frame) {
		r.largest = max(r.largest, n.infer+c.Footprint(g, f).Bytes(), n.infer+resample.PredictBytes(g, r.plan))
	})
	return ctx.Err()
}

// headers reads the headers of cases, several at once, and gives those that can be read to do, one
// after the other in any order.
func headers(ctx context.Context, list []cases.Case, orientation string, do func(cases.Case, volume.Geometry, nifti.Frame)) {
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, headerReaders)
	for _, x := range list {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			g, frame, err := cases.ReadHeader(ctx, x, orientation)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			do(x, g, frame)
		})
	}
	group.Wait()
}

// remarkAccelerator says that nothing will use a GPU that is asked for.
func (r *run) remarkAccelerator() {
	if d := r.Device; r.Runner.Dataflow.Accelerator != "" && (d == "cpu" || d == "ref") {
		r.progress.Note(fmt.Sprintf("dataflow: --device %s leaves the accelerator, which is paid for, idle", d))
	}
}
