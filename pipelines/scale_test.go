package pipelines

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"noisystudent/io/store"
	"noisystudent/runners"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
)

// BenchmarkBeam labels scans on Prism and in a plain loop over the same function, by
// turns, with one and with two networks of one thread each:
//
//	go test ./pipelines -run '^$' -bench Beam -benchtime 1x -v
//
// A case takes some 70 ms. What Beam costs is the ratio of the two, in per cent.
func BenchmarkBeam(b *testing.B) {
	const count, turns = 100, 5
	config, list := scanWork(b, count)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
			config.Options.Networks = threads
			var beam, loop []time.Duration
			for range b.N * turns {
				beam = append(beam, timed(b, config, func() error {
					return runners.Run(b.Context(), predictGraph(config, list), runners.Options{})
				}))
				loop = append(loop, timed(b, config, func() error {
					return scanAll(b.Context(), config, list, threads)
				}))
			}
			least := func(l []time.Duration) float64 { return slices.Min(l).Seconds() }
			b.ReportMetric(1000*median(loop)/count*float64(threads), "ms/case")
			b.ReportMetric(100*(least(beam)/least(loop)-1), "%min")
			b.ReportMetric(100*(median(beam)/median(loop)-1), "%median")
			b.Logf("Prism %v, loop %v", beam, loop)
		})
	}
}

// scanWork makes scans of 18x48x64 voxels, a store with two teachers that have hardly
// learned anything, and what it takes to label the one with the other.
func scanWork(b *testing.B, count int) (predict.Config, []cases.Case) {
	b.Helper()
	folder := b.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	q := PhantomRequest{Out: root, Options: phantom.Options{Labelled: 2, Unlabelled: count, Seed: 3}}
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
	_, models, err := r.pick(b.Context(), "ensemble")
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
func timed(b *testing.B, c predict.Config, work func() error) time.Duration {
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
	start := time.Now()
	if err := work(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
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

func median(list []time.Duration) float64 {
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]).Seconds() / 2
}
