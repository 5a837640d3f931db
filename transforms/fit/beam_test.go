package fit

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"noisystudent/io/store"
	"noisystudent/transforms/beamtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(asPool) != "" {
		servePool()
	}
	beamtest.Main(m)
}

// jobs returns sealed jobs of some folds in the store of the first.
func jobs(t *testing.T, folds int) (*store.Store, []Job) {
	t.Helper()
	st, first := prepare(t, Teacher)
	var list []Job
	for fold := range folds {
		j := first
		j.Fold = fold
		list = append(list, j.Sealed())
	}
	return st, list
}

func texts(t *testing.T, list []Job) []string {
	t.Helper()
	var out []string
	for _, j := range list {
		data, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(data))
	}
	return out
}

// expected are the elements that the jobs must give.
func expected(t *testing.T, st *store.Store, list []Job) []Trained {
	t.Helper()
	var out []Trained
	for _, j := range list {
		history, err := History(t.Context(), st, j.Folder())
		if err != nil || int64(len(history)) != j.Epochs {
			t.Fatalf("%s: %d epochs in the history, %v", j.Name(), len(history), err)
		}
		for _, e := range history {
			out = append(out, Trained{Role: string(j.Role), Fold: j.Fold, Epoch: e.Epoch, Loss: e.Loss, Done: e.Epoch == j.Epochs-1})
		}
	}
	return out
}

// submit runs the jobs on Prism and keeps what they emit.
func submit(t *testing.T, o Options, list []Job) ([]Trained, error) {
	t.Helper()
	p, s := beam.NewPipelineWithRoot()
	emitted.list = nil
	beam.ParDo0(s, keep, Jobs(s, o, beam.CreateList(s, texts(t, list))))
	err := ptest.Run(p)
	return emitted.list, err
}

// emitted collects elements: Prism runs DoFns in this process.
var emitted collector

type collector struct {
	mu      sync.Mutex
	list    []Trained
	threads int // of the session that gave the last element
}

func keep(e Trained) {
	emitted.mu.Lock()
	defer emitted.mu.Unlock()
	emitted.list = append(emitted.list, e)
	process.mu.Lock()
	defer process.mu.Unlock()
	for name, h := range process.held { // its own session is this bundle's, the others are not
		if strings.HasSuffix(name, Folder(Role(e.Role), e.Fold)) && h.session != nil {
			emitted.threads = h.session.options.Threads
		}
	}
}

func init() { beam.RegisterFunction(keep) }

// idleProcess fails the test where a lease was not given back.
func idleProcess(t *testing.T) {
	t.Helper()
	process.mu.Lock()
	defer process.mu.Unlock()
	for name, h := range process.held {
		t.Errorf("%s is still held, busy %v", name, h.busy)
	}
}

// Several folds give the bytes of plain runs, with any number of slots.
func TestJobsUnderPrism(t *testing.T) {
	plain, list := jobs(t, 3)
	for _, j := range list {
		if err := Run(t.Context(), j, onRef, nil); err != nil {
			t.Fatal(err)
		}
	}
	for slots, whole := range map[int]bool{0: false, 1: false, 2: false, 8: false, 3: true} {
		st, list := jobs(t, 3)
		p, s := beam.NewPipelineWithRoot()
		o := Options{Device: "ref", Threads: 1, Jobs: slots, Whole: whole}
		got := Jobs(s, o, beam.CreateList(s, texts(t, list)))
		var want []any
		for _, e := range expected(t, plain, list) {
			want = append(want, e)
		}
		passert.Equals(s, got, want...)
		ptest.RunAndValidate(t, p)
		for _, j := range list {
			if !same(files(t, plain, j), files(t, st, j)) {
				t.Errorf("%d slots: %s has other weights than a plain run gives", slots, j.Name())
			}
		}
		idleProcess(t)
	}
}

// A job that is left over by shorter ones gets their threads, and its bytes stay.
func TestThreadsGoToWhoIsLeft(t *testing.T) {
	one, all := Options{Device: "cpu", Threads: 1, Jobs: 1}, Options{Device: "cpu", Threads: 6, Jobs: 3}
	lengthen := func(list []Job) {
		list[2].Epochs = 12
		list[2] = list[2].Sealed()
	}
	plain, list := jobs(t, 3)
	lengthen(list)
	for _, j := range list {
		if err := Run(t.Context(), j, one, nil); err != nil {
			t.Fatal(err)
		}
	}
	st, list := jobs(t, 3)
	lengthen(list)
	if _, err := submit(t, all, list); err != nil {
		t.Fatal(err)
	}
	if n := emitted.threads; n != 6 {
		t.Errorf("the last epoch had %d of 6 threads", n)
	}
	for _, j := range list {
		if !same(files(t, plain, j), files(t, st, j)) {
			t.Errorf("%s has other weights than with one thread", j.Name())
		}
	}
	idleProcess(t)
}

// With one slot folds follow one another, and with two slots two folds train at
// the same time though one bundle delivers them all.
func TestSlotsAreUsed(t *testing.T) {
	for _, slots := range []int{1, 2} {
		_, list := jobs(t, 3)
		for i := range list {
			list[i].Plan.Training.StepsPerEpoch, list[i].Epochs = 8, 2
			list[i] = list[i].Sealed()
		}
		most := watch()
		got, err := submit(t, Options{Device: "ref", Threads: 1, Jobs: slots}, list)
		if err != nil {
			t.Fatal(err)
		}
		if n := most(); n != slots {
			t.Errorf("%d slots: up to %d jobs trained at the same time", slots, n)
		}
		for i := range got {
			if slots == 1 && got[i].Epoch != 0 && got[i-1].Fold != got[i].Fold {
				t.Errorf("one slot, but folds take turns: %+v", got)
				break
			}
		}
		idleProcess(t)
	}
}

// watch returns a function that says how many jobs have trained at the same time.
func watch() (most func() int) {
	stop, highest := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				highest <- n
				return
			case <-time.After(time.Millisecond):
				n = max(n, training())
			}
		}
	}()
	return func() int { close(stop); return <-highest }
}

func training() (n int) {
	process.mu.Lock()
	defer process.mu.Unlock()
	for _, h := range process.held {
		if h.busy {
			n++
		}
	}
	return n
}

// What is durable is emitted again by a second pipeline and not trained.
func TestEpochsAreEmittedAgain(t *testing.T) {
	st, list := jobs(t, 2)
	if err := Run(t.Context(), list[0], onRef, nil); err != nil {
		t.Fatal(err)
	}
	before := files(t, st, list[0])
	for range 2 {
		got, err := submit(t, onRef, list)
		if err != nil {
			t.Fatal(err)
		}
		want := map[Trained]bool{}
		for _, e := range expected(t, st, list) {
			want[e] = true
		}
		for _, e := range got {
			if !want[e] {
				t.Errorf("%+v is not in the history, or was emitted twice", e)
			}
			delete(want, e)
		}
		for e := range want {
			t.Errorf("%+v was not emitted", e)
		}
		if !same(before, files(t, st, list[0])) {
			t.Error("a model that was done was trained again")
		}
	}
	idleProcess(t)
}

// Two pipelines that are given the same jobs share the work, and each emits all of it.
func TestBundlesThatRunTwice(t *testing.T) {
	plain, list := jobs(t, 2)
	for _, j := range list {
		if err := Run(t.Context(), j, onRef, nil); err != nil {
			t.Fatal(err)
		}
	}
	st, list := jobs(t, 2)
	var group sync.WaitGroup
	for range 2 {
		p, s := beam.NewPipelineWithRoot()
		got := Jobs(s, Options{Device: "ref", Threads: 1, Jobs: 2}, beam.CreateList(s, texts(t, list)))
		var want []any
		for _, e := range expected(t, plain, list) {
			want = append(want, e)
		}
		passert.Equals(s, got, want...)
		group.Go(func() {
			if err := ptest.Run(p); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, j := range list {
		if !same(files(t, plain, j), files(t, st, j)) {
			t.Errorf("%s has other weights than a plain run gives", j.Name())
		}
	}
	idleProcess(t)
}

// A failing job fails the pipeline with its cause; the next one goes on from the checkpoint.
func TestPipelineGoesOnAfterFailure(t *testing.T) {
	plain, list := jobs(t, 2)
	for _, j := range list {
		if err := Run(t.Context(), j, onRef, nil); err != nil {
			t.Fatal(err)
		}
	}
	st, list := jobs(t, 2)
	label := list[1].Labelled[1].Prepared + "/zarr.json"
	data, err := st.Read(t.Context(), label)
	if err == nil {
		err = st.Remove(t.Context(), label)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = submit(t, Options{Device: "ref", Threads: 1, Jobs: 2}, list)
	if err == nil || !strings.Contains(err.Error(), "case b") || !strings.Contains(err.Error(), "run `noisystudent preprocess` again") {
		t.Errorf("a missing case: %v", err)
	}
	if err := st.Write(context.Background(), label, data); err != nil {
		t.Fatal(err)
	}
	if _, err := submit(t, Options{Device: "ref", Threads: 1, Jobs: 2}, list); err != nil {
		t.Fatal(err)
	}
	for _, j := range list {
		if !same(files(t, plain, j), files(t, st, j)) {
			t.Errorf("%s has other weights than undisturbed", j.Name())
		}
	}
}

func TestJobsRefuseNonsense(t *testing.T) {
	p, s := beam.NewPipelineWithRoot()
	Jobs(s, onRef, beam.Create(s, "no JSON"))
	if err := ptest.Run(p); err == nil || !strings.Contains(err.Error(), "fit: decode job") {
		t.Errorf("a job that is no JSON: %v", err)
	}
	_, list := jobs(t, 1)
	list[0].Plan.Training.Optimizer = "newton"
	if _, err := submit(t, onRef, list); err == nil || !strings.Contains(err.Error(), "newton") {
		t.Errorf("an unknown optimiser: %v", err)
	}
	var stale *StaleError
	_, list = jobs(t, 1)
	if err := Run(t.Context(), list[0], onRef, nil); err != nil {
		t.Fatal(err)
	}
	list[0].Seed++
	if _, err := submit(t, onRef, []Job{list[0].Sealed()}); errors.As(err, &stale) || err == nil || !strings.Contains(err.Error(), "--retrain") {
		t.Errorf("a stale model: %v", err)
	}
	idleProcess(t)
}
