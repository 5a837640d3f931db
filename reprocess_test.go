package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
	"noisystudent/pipelines/command"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/plan"
)

// clinic is a store with a model and a place in which scans arrive, both in a folder
// or both in a bucket, and the flags by which the program works on them.
type clinic struct {
	*testing.T
	root, input string
	store       *store.Store
	flags       []string
}

func newClinic(t *testing.T, base string, flags ...string) *clinic {
	t.Helper()
	c := &clinic{T: t, root: base + "/the store", input: base + "/in", flags: flags}
	var err error
	if c.store, err = store.Open(t.Context(), c.root); err == nil {
		err = plan.Save(t.Context(), c.store, fittest.Plan())
	}
	if err != nil {
		t.Fatal(err)
	}
	c.train(1)
	return c
}

// weights is where the weights of a model lie.
func (c *clinic) weights(seed uint64) string {
	return fmt.Sprintf("%s/epoch_%05d/weights.safetensors", fit.Folder(fit.Finetuned, 0), seed)
}

// train makes a model the newest, whose weights are drawn from a seed.
func (c *clinic) train(seed uint64) {
	c.Helper()
	fittest.Weights(c, c.store, fittest.Plan(), c.weights(seed), seed)
	latest, err := json.Marshal(fit.Latest{Format: 1, Epochs: int64(seed), Inputs: "test", Done: true})
	if err == nil {
		err = c.store.Write(c.Context(), fit.Folder(fit.Finetuned, 0)+"/latest", latest)
	}
	if err != nil {
		c.Fatal(err)
	}
}

// put lets scan k arrive under a name.
func (c *clinic) put(id string, k int) { fittest.File(c, c.input, id, k, 1) }

// place opens the place where scans arrive.
func (c *clinic) place() *store.Store {
	c.Helper()
	st, err := store.Open(c.Context(), c.input)
	if err != nil {
		c.Fatal(err)
	}
	return st
}

// remove takes a scan away and returns its bytes.
func (c *clinic) remove(id string) []byte {
	c.Helper()
	st, name := c.place(), id+"_0000.nii.gz"
	data, err := st.Read(c.Context(), name)
	if err == nil {
		err = st.Remove(c.Context(), name)
	}
	if err != nil {
		c.Fatal(err)
	}
	return data
}

// upload lets a scan arrive in ever longer pieces until whole is called.
func (c *clinic) upload(id string, data []byte) (whole func()) {
	st, quit, gone := c.place(), make(chan struct{}), make(chan struct{})
	write := func(n int) {
		if err := st.Write(c.Context(), id+"_0000.nii.gz", data[:n]); err != nil {
			c.Error(err)
		}
	}
	write(1)
	go func() {
		defer close(gone)
		for n := 2; ; n = min(n+1, len(data)-1) {
			select {
			case <-c.Context().Done(): // the test has failed
				return
			case <-quit:
				write(len(data))
				return
			case <-time.After(20 * time.Millisecond):
				write(n)
			}
		}
	}()
	return func() { close(quit); <-gone }
}

// reprocessed is what `reprocess --json` prints.
type reprocessed struct {
	Scans, New, Same int
	Waiting, Removed []string
	Models           map[string]int
	Busy             *struct{ Host string }
	Rejected         []struct{ Case string }
	newest           string // folder of predictions, where all are of one model
	summary          string // what was printed beside it
}

// start starts a run; the function that it returns waits for the run's end.
func (c *clinic) start(flags ...string) func() reprocessed {
	c.Helper()
	cmd, log := program(slices.Concat([]string{"reprocess", "--store", c.root, "--input", c.input, "--settle", "400ms", "--json"}, c.flags, flags)...)
	var text bytes.Buffer
	cmd.Stdout = &text
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	return func() (p reprocessed) {
		c.Helper()
		_ = cmd.Wait()
		if err := json.Unmarshal(text.Bytes(), &p); err != nil || cmd.ProcessState.ExitCode() != command.Done {
			c.Fatalf("exit code %d, %v:\n%s%s", cmd.ProcessState.ExitCode(), err, text.String(), log)
		}
		p.summary = log.String()
		for folder := range p.Models {
			if p.newest = folder; len(p.Models) > 1 {
				p.newest = ""
			}
		}
		return p
	}
}

// expect runs once and compares what was done.
func (c *clinic) expect(when string, want reprocessed, flags ...string) reprocessed {
	c.Helper()
	began := time.Now()
	got := c.start(flags...)()
	c.Logf("%s: %.1f s", when, time.Since(began).Seconds())
	if got.Scans != want.Scans || got.New != want.New || got.Same != want.Same || len(got.Rejected) != 0 || got.Busy != nil ||
		!slices.Equal(got.Waiting, want.Waiting) || !slices.Equal(got.Removed, want.Removed) {
		c.Errorf("%s: %+v, want %+v", when, got, want)
	}
	return got
}

// objects are the generations of what lies in the store, but for its lock.
func (c *clinic) objects() map[string]int64 {
	c.Helper()
	infos, err := c.store.List(c.Context(), "")
	if err != nil {
		c.Fatal(err)
	}
	found := map[string]int64{}
	for _, i := range infos {
		if !strings.HasPrefix(i.Key, "ledger/locks/") {
			found[i.Key] = i.Generation
		}
	}
	return found
}

// days are what may happen to a place, and what a run makes of each. It returns what
// lies in the store at the end, without times, and without the addresses of the place.
func (c *clinic) days() map[string]string {
	c.Helper()
	c.put("a", 1)
	c.put("b", 2)
	c.put("twin", 1)
	first := c.expect("new scans", reprocessed{Scans: 3, New: 3, Same: 1})

	if err := c.store.Remove(c.Context(), c.weights(1)); err != nil { // no network can compute
		c.Fatal(err)
	}
	before := c.objects()
	idle := c.expect("nothing new", reprocessed{Scans: 3})
	prism := len(c.flags) == 0 // what workers elsewhere have computed this process does not count
	if strings.Contains(first.summary, " forwards") != prism || strings.Contains(idle.summary, " forwards") {
		c.Errorf("of tiles that were computed the first run says %s and the idle one %s", first.summary, idle.summary)
	}
	if after := c.objects(); !maps.Equal(before, after) {
		c.Errorf("nothing new, and yet %d objects of before are %d now, or others", len(before), len(after))
	}
	c.train(1)

	c.put("b", 3)
	c.expect("one has changed", reprocessed{Scans: 3, New: 1})
	c.put("again", 3)
	c.expect("it comes under a second name", reprocessed{Scans: 4, New: 1, Same: 1})

	c.train(2)
	c.expect("a new model, --only-missing", reprocessed{Scans: 4}, "--only-missing")
	c.expect("nothing is older than the first model", reprocessed{Scans: 4}, "--since-model", first.newest)
	second := c.expect("what is older than the new model", reprocessed{Scans: 4, New: 4, Same: 2}, "--since-model", "latest")
	if second.newest == "" || second.newest == first.newest || len(second.Models) != 1 {
		c.Errorf("models %v and then %v", first.Models, second.Models)
	}

	data := c.remove("again")
	c.expect("one is gone", reprocessed{Scans: 3, Removed: []string{"again"}})
	for _, model := range []string{first.newest, second.newest} {
		if _, err := c.store.Stat(c.Context(), "predictions/"+model+"/again.nii.gz"); err != nil {
			c.Errorf("its labels are gone, too: %v", err)
		}
	}

	whole := c.upload("slow", data)
	c.expect("half of a file is there", reprocessed{Scans: 4, Waiting: []string{"slow"}, Removed: []string{"again"}})
	whole()
	c.expect("the file is whole", reprocessed{Scans: 4, New: 1, Same: 1, Removed: []string{"again"}})

	c.put("x", 5)
	c.put("y", 6)
	one, two := c.start("--settle", "2s"), c.start("--settle", "2s")
	p, q := one(), two()
	if p.New+q.New != 2 || p.Busy != nil && q.Busy != nil {
		c.Errorf("two runs at once: %+v and %+v", p, q)
	}
	c.Logf("two runs at once: %d and %d scans; gave way: %v, %v", p.New, q.New, p.Busy != nil, q.Busy != nil)
	return c.contents()
}

// contents reads the store.
func (c *clinic) contents() map[string]string {
	c.Helper()
	found := map[string]string{}
	for key := range c.objects() {
		data, err := c.store.Read(c.Context(), key)
		if err != nil {
			c.Fatal(err)
		}
		text := strings.ReplaceAll(untimed(c.T, key, data), c.input, "IN")
		if path.Dir(key) == "ledger/files" { // whose names are digests of addresses
			key = "ledger/files of " + text
		}
		found[key] = text
	}
	return found
}

// same compares what two clinics have come to.
func same(t *testing.T, want, got map[string]string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if text, there := got[key]; !there || text != want[key] {
			t.Errorf("%s: %d bytes, want %d\n%.400s\n%.400s", key, len(text), len(want[key]), text, want[key])
		}
	}
	for key := range got {
		if _, there := want[key]; !there {
			t.Errorf("%s is one too many", key)
		}
	}
	if labels := len(slices.DeleteFunc(slices.Collect(maps.Keys(want)), func(key string) bool { return path.Ext(key) != ".gz" })); labels != 11 {
		t.Errorf("%d files of labels, want 4 of the first model and 7 of the second", labels)
	}
	t.Logf("%d files are the same", len(want))
}

// TestReprocess is a place of days, in a folder and on the bucket service: what is new,
// changed, gone, half there, there twice, or labelled by an older model.
func TestReprocess(t *testing.T) {
	if testing.Short() {
		t.Skip("a score of processes: not with -short")
	}
	storetest.Bucket(t, "data")
	folder := newClinic(t, t.TempDir()).days()
	same(t, folder, newClinic(t, "gs://data").days())
}

// TestFlinkReprocess lets a Flink cluster label on the bucket service, and compares all
// that is in the store with what Prism makes.
func TestFlinkReprocess(t *testing.T) {
	flinkCluster(t)
	asDefault(t)
	storetest.Bucket(t, "data")
	prism := newClinic(t, "gs://data/prism").days()
	worker := flinkWorker(t, "STORAGE_EMULATOR_HOST="+os.Getenv("STORAGE_EMULATOR_HOST"))
	flink := newClinic(t, "gs://data/flink", "--runner", "flink", "--environment-config", worker, "--parallelism", "2")
	same(t, prism, flink.days())
	watching := flink.start("--watch", "--watch-for", "30s", "--interval", "1s")
	flink.put("arrives", 7)
	if p := watching(); p.New != 1 || p.Scans != 7 {
		t.Errorf("watching: %+v", p)
	}
}
