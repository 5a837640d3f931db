package pipelines

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"noisystudent/io/store"
	"noisystudent/runners"
	"noisystudent/runners/flink"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/incoming"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
	"noisystudent/transforms/plan"
)

// clinic is a store with a model, and a folder in which scans arrive.
type clinic struct {
	*testing.T
	folder string
	st     *store.Store
	q      ReprocessRequest
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{T: t, folder: t.TempDir(), st: mustOpen(t, filepath.Join(t.TempDir(), "store"))}
	if err := plan.Save(t.Context(), c.st, fittest.Plan()); err != nil {
		t.Fatal(err)
	}
	c.q.Input, c.q.Settle = filepath.Join(c.folder, "*.nii.gz"), 10*time.Millisecond
	c.train(1)
	return c
}

// train makes another model the newest, whose weights are drawn from a seed.
func (c *clinic) train(seed uint64) {
	c.Helper()
	folder := fit.Folder(fit.Finetuned, 0)
	fittest.Weights(c, c.st, fittest.Plan(), fmt.Sprintf("%s/epoch_%05d/weights.safetensors", folder, seed), seed)
	latest, err := json.Marshal(fit.Latest{Format: 1, Epochs: int64(seed), Inputs: "test", Done: true})
	if err == nil {
		err = c.st.Write(c.Context(), folder+"/latest", latest)
	}
	if err != nil {
		c.Fatal(err)
	}
}

func (c *clinic) put(id string, k int) { fittest.File(c, c.folder, id, k, 1) }

func (c *clinic) reprocess() Reprocessed {
	c.Helper()
	p, err := Reprocess(c.Context(), Options{Store: c.st.Root()}, c.q)
	if err != nil {
		c.Fatal(err)
	}
	return p
}

// predictions are the ids that have labels, by the folder of their model.
func (c *clinic) predictions() map[string][]string {
	c.Helper()
	infos, err := c.st.List(c.Context(), "predictions/")
	if err != nil {
		c.Fatal(err)
	}
	found := map[string][]string{}
	for _, i := range infos {
		parts := strings.Split(i.Key, "/")
		found[parts[1]] = append(found[parts[1]], strings.TrimSuffix(parts[2], ".nii.gz"))
	}
	return found
}

func TestReprocess(t *testing.T) {
	metrics.Reset()
	c := newClinic(t)
	if p := c.reprocess(); p.Scans != 0 || p.New != 0 {
		t.Errorf("an empty folder: %+v", p)
	}
	c.put("a", 1)
	c.put("b", 2)
	c.put("twin", 1)
	if err := os.WriteFile(filepath.Join(c.folder, "bad.nii.gz"), []byte("no scan"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := c.reprocess()
	if p.Scans != 4 || p.New != 3 || p.Same != 1 || len(p.Rejected) != 1 || p.Rejected[0].Case != "bad" || len(p.Models) != 1 {
		t.Fatalf("%+v", p)
	}
	first := c.predictions()
	for folder, ids := range first {
		if p.Models[folder] != 3 || !slices.Equal(ids, []string{"a", "b", "twin"}) {
			t.Errorf("%s holds %v; the report says %v", folder, ids, p.Models)
		}
		row, found, err := manifest.Lookup(t.Context(), c.st, "predict-"+folder, "twin")
		if err != nil || !found || row.Same != "a" || row.Model[:12] != folder {
			t.Errorf("the twin's row is %+v, %v", row, err)
		}
	}
	if n := forwards(); n < 2 {
		t.Errorf("%d tiles were computed", n)
	}
	_, before := contents(t, c.st.Root())
	metrics.Reset()
	if p := c.reprocess(); p.New != 0 || len(p.Rejected) != 1 || !strings.Contains(p.String(), "3 of 4 scans are labelled; nothing to do") {
		t.Errorf("again: %+v, %s", p, p)
	}
	if n := forwards(); n != 0 {
		t.Errorf("the second run has computed %d tiles", n)
	}
	_, after := contents(t, c.st.Root())
	delete(before, "ledger/locks/reprocess.json")
	delete(after, "ledger/locks/reprocess.json")
	for key, g := range after {
		if before[key] != g {
			t.Errorf("the second run wrote %s", key)
		}
	}
	c.train(2)
	c.q.Policy.OnlyMissing = true
	if p := c.reprocess(); p.New != 0 {
		t.Errorf("only missing: %+v", p)
	}
	c.q.Policy.OnlyMissing = false
	c.q.Output = t.TempDir()
	if err := os.Remove(filepath.Join(c.folder, "b_0000.nii.gz")); err != nil {
		t.Fatal(err)
	}
	p = c.reprocess()
	if p.New != 2 || p.Same != 1 || len(p.Models) != 1 || !slices.Equal(p.Removed, []string{"b"}) {
		t.Errorf("a new model: %+v", p)
	}
	if labels, _ := contents(t, c.q.Output); len(labels) != 2 || labels["a.nii.gz"] != labels["twin.nii.gz"] || labels["a.nii.gz"] == "" {
		t.Errorf("%d copies", len(labels))
	}
	if now := c.predictions(); len(now) != 2 {
		t.Errorf("%v", now)
	} else {
		for folder, ids := range first {
			if !slices.Equal(now[folder], ids) {
				t.Errorf("of the labels %v of the older model %v are left", ids, now[folder])
			}
		}
	}
}

// forwards counts the tiles that networks of this process have computed since the last Reset.
func forwards() (n int64) {
	for _, t := range metrics.Totals() {
		n += t.Forwards
	}
	return n
}

// Two schedules overlap: one does the work, the other nothing.
func TestReprocessOnce(t *testing.T) {
	c := newClinic(t)
	for k := range 6 {
		c.put(fmt.Sprintf("case%d", k), k)
	}
	c.q.Settle = 500 * time.Millisecond // the time in which the second must come
	results := make([]Reprocessed, 2)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() { results[i] = c.reprocess() })
	}
	group.Wait()
	slices.SortFunc(results, func(a, b Reprocessed) int { return b.New - a.New })
	if results[0].New != 6 || results[1].New != 0 || results[1].Busy == nil || !strings.Contains(results[1].String(), "nothing was done") {
		t.Errorf("%+v", results)
	}
	c.q.LockWait = time.Minute
	c.put("more", 9)
	for i := range results {
		group.Go(func() { results[i] = c.reprocess() })
	}
	group.Wait()
	if results[0].New+results[1].New != 1 || results[0].Busy != nil || results[1].Busy != nil {
		t.Errorf("with patience: %+v", results)
	}
}

// A model that becomes the newest in the midst of a run labels what is still to come.
func TestReprocessTakesNewModels(t *testing.T) {
	c := newClinic(t)
	for k := range 5 {
		c.put(fmt.Sprintf("case%d", k), k)
	}
	l, err := openLabeller(t.Context(), Options{Store: c.st.Root()}, c.q)
	if err != nil {
		t.Fatal(err)
	}
	survey, err := l.Look(t.Context())
	if err != nil || len(survey.Groups) != 5 {
		t.Fatal(survey, err)
	}
	used := map[string]int{}
	for i, g := range survey.Groups {
		if i == 2 {
			c.train(2)
		}
		rows, err := l.Label(t.Context(), g)
		if err != nil || len(rows) != 1 || rows[0].Outcome != manifest.Done {
			t.Fatal(rows, err)
		}
		used[rows[0].Model[:12]]++
	}
	for folder, ids := range c.predictions() {
		if used[folder] != len(ids) {
			t.Errorf("%s: %d rows, %d files", folder, used[folder], len(ids))
		}
	}
	if len(used) != 2 || used[l.met[:12]] != 3 {
		t.Errorf("models %v", used)
	}
	if p := c.reprocess(); p.New != 2 || len(p.Models) != 1 {
		t.Errorf("the next run brings the rest up to date: %+v", p)
	}
}

// What a killed run has left half-written goes with the next run that does something,
// from the store and from where copies go.
func TestReprocessTidies(t *testing.T) {
	c := newClinic(t)
	c.q.Output = t.TempDir()
	left := []string{filepath.Join(c.st.Root(), "predictions", "x", ".store-"+rand.Text()), filepath.Join(c.q.Output, ".store-"+rand.Text())}
	for _, file := range left {
		put(t, file, []byte("half"))
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-2*abandoned)); err != nil {
			t.Fatal(err)
		}
	}
	for scans := range 2 {
		if p := c.reprocess(); p.New != scans {
			t.Errorf("%+v", p)
		}
		for _, file := range left {
			if _, err := os.Stat(file); (err == nil) != (scans == 0) {
				t.Errorf("%d scans, and %s: %v", scans, file, err)
			}
		}
		c.put("a", 1)
	}
}

// A worker can open its order where nobody has heard of the cluster.
func TestOrderNeedsNoCluster(t *testing.T) {
	c := newClinic(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no cluster of this user's
	t.Setenv("HOME", t.TempDir())
	l, err := openLabeller(t.Context(), Options{Store: c.st.Root()}, c.q)
	if err != nil {
		t.Fatal(err)
	}
	for parallelism, want := range map[int]int{0: 1, 2: 2, 9: 5} {
		l.Runner = runners.Options{Runner: "flink", Flink: flink.Options{Parallelism: parallelism}}
		w, err := ordered(t.Context(), l.order(5))
		if err != nil || w.cases != want || w.memory() != workerBytes {
			t.Errorf("--parallelism %d: %v, %+v", parallelism, err, w)
		}
	}
}

func TestWatch(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of watching: not with -short")
	}
	c := newClinic(t)
	c.put("early", 1)
	c.q.WatchFor, c.q.Interval = 8*time.Second, time.Second
	arrive := func(after time.Duration, do func()) {
		timer := time.AfterFunc(after, do)
		t.Cleanup(func() { timer.Stop() })
	}
	arrive(2*time.Second, func() { c.put("late", 2) })
	arrive(3*time.Second, func() { c.train(2) })
	arrive(4*time.Second, func() { c.put("twin", 1) })
	start := time.Now()
	p := c.reprocess()
	if took := time.Since(start); took < 6*time.Second || took > time.Minute {
		t.Errorf("it watched for %v", took)
	}
	if p.Scans != 3 || len(p.Models) != 1 || p.Same != 1 || p.New != 3 {
		t.Errorf("%+v", p)
	}
	now := c.predictions()
	for folder := range p.Models {
		if !slices.Equal(now[folder], []string{"early", "late", "twin"}) {
			t.Errorf("%v", now)
		}
	}
	for _, id := range []string{"early", "late", "twin"} {
		if err := os.Remove(filepath.Join(c.folder, id+"_0000.nii.gz")); err != nil {
			t.Fatal(err)
		}
	}
	c.q.WatchFor = 2 * time.Second
	if p := c.reprocess(); len(p.Removed) != 3 || p.Scans != 0 {
		t.Errorf("an empty place: %+v", p)
	}
}

func TestReprocessMisuse(t *testing.T) {
	c := newClinic(t)
	c.put("a", 1)
	var usage *UsageError
	for _, change := range []func(q *ReprocessRequest){
		func(q *ReprocessRequest) { q.Input = "" },
		func(q *ReprocessRequest) { q.Settle = -1 },
		func(q *ReprocessRequest) { q.WatchFor = time.Hour },
		func(q *ReprocessRequest) { q.Policy = incoming.Policy{OnlyMissing: true, Since: "latest"} },
		func(q *ReprocessRequest) { q.Policy.Since = "1234567" },
		func(q *ReprocessRequest) { q.Model = "boss" },
	} {
		q := c.q
		change(&q)
		if _, err := Reprocess(t.Context(), Options{Store: c.st.Root()}, q); !errors.As(err, &usage) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if h, err := manifest.HolderOf(t.Context(), c.st, lockName); err != nil || !h.Released {
		t.Errorf("the lock is still held: %+v, %v", h, err)
	}
}
