//go:build unix

package pipelines

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/io/store"
	"noisystudent/runners"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
)

// BenchmarkBeam labels small and larger scans on Prism and in a plain loop over the same function, by
// turns, with one and with two networks of one thread each:
//
//	go test ./pipelines -run '^$' -bench Beam -benchtime 5x -v
//
// What Beam costs is the ratio of the two less one, in per cent: of wall time, and of
// CPU time, which other work on the machine disturbs less. Turns of either differ by a
// tenth on a quiet machine, so that the mean over pairs of turns comes with its standard error.
func BenchmarkBeam(b *testing.B) {
	const turns = 3
	for _, work := range []struct {
		count int
		shape [3]int
	}{{60, [3]int{36, 72, 96}}, {8, [3]int{72, 144, 192}}} {
		config, list := scanWork(b, work.count, work.shape)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("voxels=%v/threads=%d", work.shape, threads), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
				config.Options.Networks = threads
				onPrism := func() error {
					r := &run{store: mustOpen(b, config.Store), notes: map[string]string{}}
					err := runners.Run(b.Context(), predictGraph(config, deal(b.Context(), r, config, list, list, nil)), runners.Options{})
					return cmp.Or(err, r.clearHeap(b.Context()))
				}
				inLoop := func() error { return scanAll(b.Context(), config, list, threads) }
				var beam, loop []spent
				for range b.N * turns {
					beam = append(beam, timed(b, config, onPrism))
					loop = append(loop, timed(b, config, inLoop))
					loop = append(loop, timed(b, config, inLoop))
					beam = append(beam, timed(b, config, onPrism))
				}
				more := func(of func([]spent) float64) float64 { return 100 * (of(beam)/of(loop) - 1) }
				b.ReportMetric(1000*leastCPU(loop)/float64(work.count), "cpu-ms/case")
				b.ReportMetric(more(leastWall), "%min")
				b.ReportMetric(more(medianWall), "%median")
				b.ReportMetric(more(leastCPU), "%cpu-min")
				b.ReportMetric(more(medianCPU), "%cpu-median")
				mean, spread := pairwise(beam, loop)
				b.ReportMetric(mean, "%cpu-paired")
				b.ReportMetric(spread, "%cpu-paired-se")
				b.Logf("wall and CPU: Prism %.2f, loop %.2f", beam, loop)
			})
		}
	}
}

// BenchmarkPrism is what Prism takes of the CPU beside elements that sleep for 33 ms.
func BenchmarkPrism(b *testing.B) {
	const ms, count = 33, 300
	p, s := beam.NewPipelineWithRoot()
	read(s, beam.ParDo(s, &sleepFn{}, beam.Reshuffle(s, beam.CreateList(s, slices.Repeat([]int{ms}, count)))))
	for range b.N {
		before := cpuTime(b)
		if err := runners.Run(b.Context(), p, runners.Options{}); err != nil {
			b.Fatal(err)
		}
		took := cpuTime(b) - before
		b.ReportMetric(1000*took.Seconds()/count, "cpu-ms/element")
		b.ReportMetric(100*took.Seconds()/(count*ms/1000.0), "%cpu")
	}
}

// spent is wall and CPU time in seconds.
type spent struct{ Wall, CPU float64 }

func sorted(list []spent, of func(spent) float64) []float64 {
	var values []float64
	for _, s := range list {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values
}

func wallOf(s spent) float64 { return s.Wall }
func cpuOf(s spent) float64  { return s.CPU }

func leastWall(l []spent) float64  { return sorted(l, wallOf)[0] }
func leastCPU(l []spent) float64   { return sorted(l, cpuOf)[0] }
func medianWall(l []spent) float64 { return sorted(l, wallOf)[len(l)/2] }
func medianCPU(l []spent) float64  { return sorted(l, cpuOf)[len(l)/2] }

// pairwise is how much more CPU time a takes than b, in per cent: the mean over pairs of
// turns and its standard error.
func pairwise(a, b []spent) (mean, se float64) {
	var sum, squares float64
	for i := range a {
		v := 100 * (a[i].CPU/b[i].CPU - 1)
		sum, squares = sum+v, squares+v*v
	}
	n := float64(len(a))
	return sum / n, math.Sqrt((squares/n - sum/n*sum/n) / (n - 1))
}

// scanWork makes scans, a store with a teacher that has hardly
// learned anything, and what it takes to label the one with the other.
func scanWork(b *testing.B, count int, shape [3]int) (predict.Config, []cases.Case) {
	b.Helper()
	folder := b.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	q := PhantomRequest{Out: root, Options: phantom.Options{Labelled: 2, Unlabelled: count, Seed: 3, Shape: shape}}
	if _, err := Phantom(b.Context(), Options{}, q); err != nil {
		b.Fatal(err)
	}
	o := Options{Dataset: root, Store: st, Preset: plan.Demo, Threads: 1, Set: []string{
		"training.folds=2", "training.steps_per_epoch=1", "training.teacher_epochs=1", "training.student_epochs=1",
		"training.finetune_epochs=1", "training.warmup_steps=1",
	}}
	if _, err := Train(b.Context(), o, fit.Teacher, nil); err != nil {
		b.Fatal(err)
	}
	list, _, err := cases.Scans(b.Context(), filepath.Join(root, "imagesUn"))
	if err != nil {
		b.Fatal(err)
	}
	r, err := openPredict(b.Context(), Options{Store: st, Threads: 1}, PredictRequest{Input: root, Output: root})
	if err != nil {
		b.Fatal(err)
	}
	_, models, err := r.pick(b.Context(), "teacher/0")
	if err != nil {
		b.Fatal(err)
	}
	c, err := r.config(b.Context(), models, len(list))
	if err != nil {
		b.Fatal(err)
	}
	return c, list
}

// timed does work on a store that remembers none of it.
func timed(b *testing.B, c predict.Config, work func() error) spent {
	b.Helper()
	for _, prefix := range []string{"ledger/" + c.Stage() + "/", "predictions/"} {
		st := mustOpen(b, c.Store)
		infos, err := st.List(b.Context(), prefix)
		if err != nil {
			b.Fatal(err)
		}
		for _, i := range infos {
			if err := st.Remove(b.Context(), i.Key); err != nil {
				b.Fatal(err)
			}
		}
	}
	runtime.GC()
	start, before := time.Now(), cpuTime(b)
	if err := work(); err != nil {
		b.Fatal(err)
	}
	return spent{time.Since(start).Seconds(), (cpuTime(b) - before).Seconds()}
}

// scanAll labels scans in a plain loop.
func scanAll(ctx context.Context, c predict.Config, list []cases.Case, threads int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan cases.Case)
	var group sync.WaitGroup
	for range threads {
		group.Go(func() {
			st, err := store.Open(ctx, c.Store)
			for scan := range todo {
				if err == nil {
					_, err = predict.Scan(ctx, st, c, scan)
				}
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	for _, scan := range list {
		todo <- scan
	}
	close(todo)
	group.Wait()
	return context.Cause(ctx)
}
