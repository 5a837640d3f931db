package shard_test

import (
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/rtrackers/offsetrange"

	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/model/random"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/memory"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/shard"
)

// passSeconds is what a forward pass of the paper's network takes: forward-fp32-stock in
// BENCHMARKS.md, two cores of a Zen 4 EPYC.
const passSeconds = 0.522

// flare are the 1,973 cases of FLARE 2022's training set that nnU-Net plan files of
// github.com/Ziyan-Huang/FLARE22 (Apache-2.0) list, fitted: classes of cases of similar
// cost with their means. The cases themselves are read where NOISYSTUDENT_CT has them.
var flare = []struct {
	cases              int
	zMM, yMM, xMM      float64 // extent
	sliceMM, inPlaneMM float64
}{
	{98, 288, 241, 241, 2.20, 0.471},
	{99, 271, 298, 300, 2.82, 0.583},
	{197, 207, 369, 369, 3.26, 0.722},
	{197, 245, 370, 370, 2.73, 0.722},
	{198, 232, 407, 408, 3.33, 0.798},
	{197, 299, 390, 390, 2.65, 0.762},
	{197, 293, 412, 412, 2.88, 0.804},
	{198, 273, 455, 455, 2.93, 0.888},
	{197, 404, 414, 414, 2.95, 0.808},
	{197, 464, 415, 416, 2.78, 0.812},
	{99, 560, 429, 429, 2.51, 0.839},
	{59, 535, 470, 470, 3.54, 0.895},
	{20, 594, 480, 480, 3.04, 0.937},
	{10, 680, 477, 477, 2.24, 0.931},
	{10, 924, 515, 515, 2.57, 0.908},
}

// ensemble is five teachers of the paper's network on FLARE's plan.
func ensemble() predict.Config {
	p := plan.Plan{Spacing: [3]float64{2.5, 0.796, 0.796}, PatchSize: [3]int{40, 224, 192}, Inference: plan.Inference{StepSize: 0.5}}
	for k := range 13 {
		p.Labels = append(p.Labels, cases.Label{ID: k + 1})
	}
	c := predict.Config{Plan: p}
	for k := range 5 {
		c.Models = append(c.Models, predict.ModelRef{Weights: "w", Digest: fmt.Sprint(k)})
	}
	return c
}

// sized is a case of the simulation.
type sized struct {
	ID      int
	Passes  float64
	Bytes   int64
	Seconds float64
}

// cohort returns the cases, with the seconds that they will take: those predicted, or
// others, off by 15 % (one standard deviation) and three times as long in one of a hundred.
func cohort(t *testing.T, off bool) (list []sized, costs []float64) {
	t.Helper()
	c, draw := ensemble(), random.New(1)
	for i, g := range geometries(t) {
		passes := c.Passes(g)
		s := sized{ID: i, Passes: passes, Bytes: c.SegmentBytes(g), Seconds: passes * passSeconds}
		prepared := 4.0
		for a := range 3 {
			prepared *= float64(g.Shape[a]) * g.Spacing[a] / c.Plan.Spacing[a]
		}
		s.Bytes += int64(prepared)
		if off {
			s.Seconds *= math.Exp(0.15 * draw.Normal())
			if draw.IntN(100) == 0 {
				s.Seconds *= 3
			}
		}
		list, costs = append(list, s), append(costs, passes)
	}
	return list, costs
}

func geometries(t *testing.T) []volume.Geometry {
	t.Helper()
	if folder := os.Getenv("NOISYSTUDENT_CT"); folder != "" {
		return measured(t, filepath.Join(folder, "flare22_1973_geometry.json.gz"))
	}
	var list []volume.Geometry
	for _, class := range flare {
		for range class.cases {
			list = append(list, volume.Geometry{
				Shape:   [3]int{int(class.zMM / class.sliceMM), int(class.yMM / class.inPlaneMM), int(class.xMM / class.inPlaneMM)},
				Spacing: [3]float64{class.sliceMM, class.inPlaneMM, class.inPlaneMM},
			})
		}
	}
	return list
}

func measured(t *testing.T, file string) (list []volume.Geometry) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var content struct {
		Cases []struct {
			Shape   [3]int     `json:"shape_zyx"`
			Spacing [3]float64 `json:"spacing_zyx"`
		}
	}
	if err := json.NewDecoder(z).Decode(&content); err != nil {
		t.Fatal(err)
	}
	for _, c := range content.Cases {
		list = append(list, volume.Geometry{Shape: c.Shape, Spacing: c.Spacing})
	}
	return list
}

// fleet is a runner: workers that take shards, and where it splits, as Prism and
// Dataflow do, half of what the slowest has left. DoFn, tracker and admission are the
// real ones; the device sleeps, in synctest's time.
type fleet struct {
	splits bool
	budget int64

	mu      sync.Mutex
	change  sync.Cond
	waiting []task
	active  map[*sdf.LockRTracker]string
	done    map[int]int
	used    int64
	most    int64
}

type task struct {
	shard string
	rest  offsetrange.Restriction
}

// run returns how long the workers took for all shards.
func (f *fleet) run(t *testing.T, shards []shard.Shard, workers int) time.Duration {
	f.change.L = &f.mu
	f.active, f.done = map[*sdf.LockRTracker]string{}, map[int]int{}
	for _, s := range shards {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := shard.Fn{}.CreateInitialRestriction(string(text))
		if err != nil {
			t.Fatal(err)
		}
		f.waiting = append(f.waiting, task{string(text), rest})
	}
	start := time.Now()
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for one, more := f.next(); more; one, more = f.next() {
				if err := f.process(t, one); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	return time.Since(start)
}

// next waits for a task; there are no more once nobody works.
func (f *fleet) next() (task, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if len(f.waiting) > 0 {
			one := f.waiting[0]
			f.waiting = f.waiting[1:]
			return one, true
		}
		if one, ok := f.steal(); ok {
			return one, true
		}
		if len(f.active) == 0 {
			return task{}, false
		}
		f.change.Wait()
	}
}

// steal splits the shard with most left.
func (f *fleet) steal() (one task, ok bool) {
	if !f.splits {
		return one, false
	}
	var from *sdf.LockRTracker
	left := 0.0
	for rt := range f.active {
		if _, n := rt.GetProgress(); n > left {
			from, left = rt, n
		}
	}
	if from == nil {
		return one, false
	}
	_, residual, err := from.TrySplit(0.5)
	if err != nil || residual == nil {
		return one, false
	}
	return task{f.active[from], residual.(offsetrange.Restriction)}, true
}

func (f *fleet) process(t *testing.T, one task) error {
	for {
		rt := shard.Fn{}.CreateTracker(one.rest)
		f.mu.Lock()
		f.active[rt] = one.shard
		f.mu.Unlock()
		again, err := shard.Each(t.Context(), rt, one.shard, func(c sized) error { return f.label(t, c) })
		f.mu.Lock()
		delete(f.active, rt)
		f.change.Broadcast()
		f.mu.Unlock()
		if err != nil || !again.ShouldResume() {
			return err
		}
		_, residual, err := rt.TrySplit(0)
		if err != nil || residual == nil {
			return err
		}
		one.rest = residual.(offsetrange.Restriction)
		time.Sleep(again.ResumeDelay())
	}
}

// label does as pseudo.Case does: it is admitted, and keeps a device busy.
func (f *fleet) label(t *testing.T, c sized) error {
	release, err := memory.Admit(t.Context(), fmt.Sprint(c.ID), c.Bytes, f.budget)
	if err != nil {
		return err
	}
	defer release()
	f.add(c.Bytes)
	time.Sleep(time.Duration(c.Seconds * float64(time.Second)))
	f.add(-c.Bytes)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[c.ID]++
	return nil
}

func (f *fleet) add(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used += bytes
	f.most = max(f.most, f.used)
}

// TestMakespan labels the cohort with up to 64 workers: the last one ends at most a
// tenth later than the best division of the work would let it, and the cases in work
// never take more memory than they may. NOISYSTUDENT_CT makes it the real cohort.
func TestMakespan(t *testing.T) {
	exact, costs := cohort(t, false)
	off, _ := cohort(t, true)
	for _, workers := range []int{1, 2, 4, 8, 16, 32, 64} {
		line := fmt.Sprintf("| %d |", workers)
		for _, list := range [][]sized{exact, off} {
			for _, splits := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) { line += makespan(t, list, costs, workers, splits) })
			}
		}
		t.Log(line)
	}
}

// makespan labels a list, dealt out as for a runner that splits or for another one.
func makespan(t *testing.T, list []sized, costs []float64, workers int, splits bool) string {
	const gib = 1 << 30
	f := &fleet{splits: splits, budget: max(12, 5*int64(workers)) * gib}
	shards := shard.Deal(list, costs, workers)
	if !splits {
		var err error
		if _, shards, err = shard.Pile(t.Context(), open(t), list, costs, workers, 8*workers); err != nil {
			t.Fatal(err)
		}
	}
	took := f.run(t, shards, workers).Seconds()
	sum, longest := 0.0, 0.0
	for _, one := range list {
		sum, longest = sum+one.Seconds, max(longest, one.Seconds)
		if f.done[one.ID] != 1 {
			t.Fatalf("%d workers: case %d was labelled %d times", workers, one.ID, f.done[one.ID])
		}
	}
	ratio := took / max(sum/float64(workers), longest)
	if ratio < 0.999 || ratio > 1.1 {
		t.Errorf("%d workers, splits %v: %.3f of the ideal", workers, splits, ratio)
	}
	if f.most > f.budget || f.used != 0 {
		t.Errorf("%d workers: %d of %d bytes were in use, %d are left", workers, f.most, f.budget, f.used)
	}
	return fmt.Sprintf(" %.3f | %.0f of %d GiB |", ratio, float64(f.most)/gib, f.budget/gib)
}

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), "mem://"+rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	return st
}
