package pipelines

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"noisystudent/io/store"
	"noisystudent/runners"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
)

func TestMain(m *testing.M) {
	flag.Parse() // before Init, which gives Beam's flags their defaults
	if err := runners.Init(context.Background(), io.Discard, false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// tiny is a network of a few hundred weights that is trained for a step or two.
var tiny = []string{
	"spacing=10,15,15", "patch_size=8,8,8", "architecture.features_per_stage=4,6", "architecture.n_conv_per_stage=1,1",
	"architecture.n_conv_per_stage_decoder=1", "batch_size=2", "inference.step_size=1",
	"training.folds=2", "training.steps_per_epoch=2", "training.teacher_epochs=2", "training.student_epochs=1",
	"training.finetune_epochs=1", "training.warmup_steps=1", "training.student_all_labels=false",
}

// tinyOptions are those of a loop over a tiny cohort.
func tinyOptions(dataset, st string, log *notes) Options {
	return Options{Dataset: dataset, Store: st, Preset: plan.Demo, Set: tiny, Progress: log}
}

// tinyCohort makes a cohort of scans of 9x16x22 voxels.
func tinyCohort(t *testing.T, out string, labelled, unlabelled, test, corrupt int) {
	t.Helper()
	q := PhantomRequest{Out: out, Options: phantom.Options{
		Labelled: labelled, Unlabelled: unlabelled, Test: test, Corrupt: corrupt,
		Shape: [3]int{9, 16, 22}, Spacing: [3]float64{10, 15, 15}, Seed: 3,
	}}
	if _, err := Phantom(t.Context(), Options{}, q); err != nil {
		t.Fatal(err)
	}
}

// notes is a Progress that remembers what people would have read.
type notes struct {
	mu   sync.Mutex
	text []string
}

func (n *notes) Note(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, text)
}

func (n *notes) Stage(name string, _ int64, _ string) Meter { return noted{n, name} }

// take returns the lines since the last call.
func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := n.text
	n.text = nil
	return text
}

type noted struct {
	*notes
	name string
}

func (noted) At(int64, string)     {}
func (n noted) End(summary string) { n.Note(n.name + ": " + summary) }

// contents reads a whole store, with the generation of each object.
func contents(t *testing.T, root string) (text map[string]string, generations map[string]int64) {
	t.Helper()
	st := mustOpen(t, root)
	infos, err := st.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	text, generations = map[string]string{}, map[string]int64{}
	for _, i := range infos {
		data, err := st.Read(t.Context(), i.Key)
		if err != nil {
			t.Fatal(err)
		}
		text[i.Key], generations[i.Key] = string(data), i.Generation
	}
	return text, generations
}

func mustOpen(t testing.TB, root string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// lacks reports lines without one of some texts.
func lacks(lines []string, texts ...string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(line, text) })
	})
}
