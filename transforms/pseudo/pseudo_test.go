package pseudo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/resample"
	"noisystudent/transforms/statistics"
)

// ready returns a store with teachers of random weights, prepared cases, and the
// configuration of the first round.
func ready(t *testing.T, teachers, pool int) (*store.Store, Config, []Prepared) {
	t.Helper()
	st := fittest.Open(t)
	c := Config{Round: 1, Config: predict.Config{Store: st.Root(), Plan: fittest.Plan(), Options: predict.Options{Device: "ref", Threads: 1}}}
	for m := range teachers {
		ref := predict.ModelRef{Weights: fmt.Sprintf("weights%d", m), Digest: fmt.Sprintf("pseudo's random teacher %d", m)}
		fittest.Weights(t, st, c.Plan, ref.Weights, uint64(m))
		c.Models = append(c.Models, ref)
	}
	var list []Prepared
	for k := range pool {
		id := fmt.Sprintf("case%d", k)
		prefix, digest := fittest.Prepare(t, st, c.Plan, id, k, false)
		list = append(list, Prepared{Case: id, Prefix: prefix, Digest: digest})
	}
	return st, c, list
}

func label(t *testing.T, st *store.Store, c Config, in Prepared) manifest.Row {
	t.Helper()
	row, err := Case(t.Context(), st, c, in)
	if err != nil || row.Outcome != manifest.Done {
		t.Fatalf("row %+v, error %v", row, err)
	}
	return row
}

// stored reads what a student reads: image and pseudo-labels of a case.
func stored(t *testing.T, st *store.Store, in Prepared) (*resample.Stored, []uint8) {
	t.Helper()
	s, err := resample.OpenCase(t.Context(), st, in.Prefix)
	if err == nil {
		s, err = s.WithLabels(t.Context(), st, Prefix(1, in.Case))
	}
	if err != nil {
		t.Fatal(err)
	}
	shape := s.Shape()
	labels := make([]uint8, shape[0]*shape[1]*shape[2])
	if err := s.ReadLabels(t.Context(), [3]int{}, shape, labels); err != nil {
		t.Fatal(err)
	}
	return s, labels
}

func TestCaseStoresWhatTheEnsembleSays(t *testing.T) {
	st, c, list := ready(t, 3, 1)
	row := label(t, st, c, list[0])
	s, labels := stored(t, st, list[0])
	shape := s.Shape()
	image := make([]float32, len(labels))
	if err := s.ReadImage(t.Context(), [3]int{}, shape, image); err != nil {
		t.Fatal(err)
	}
	want, err := c.Labels(t.Context(), st, image, shape)
	if err != nil || !bytes.Equal(labels, want.Labels) {
		t.Errorf("labels differ from the ensemble's: %v", err)
	}
	note, err := ReadNote(t.Context(), st, 1, "case0")
	wanted := Note{Case: "case0", Confidence: want.Confidence, Voxels: want.Voxels, Teachers: []string{"pseudo's random teacher 0", "pseudo's random teacher 1", "pseudo's random teacher 2"}}
	if d := cmp.Diff(wanted, note); err != nil || d != "" {
		t.Errorf("error %v, note (-want +got)\n%s", err, d)
	}
	if !(note.Confidence > 0.25 && note.Confidence < 1) || row.Output != "pseudo/1/case0.json" || row.Stage != "pseudo-1" {
		t.Errorf("confidence %v, row %+v", note.Confidence, row)
	}
	// Forced patches find the foreground of pseudo-labels.
	var classes []uint8
	for class, n := range note.Voxels {
		if class > 0 && n > 0 {
			classes = append(classes, uint8(class))
		}
	}
	if got := s.Classes(); !slices.Equal(got, classes) || len(got) == 0 {
		t.Errorf("classes with positions %v, want %v", got, classes)
	}
	// The file for people is the same labels on the scan's grid.
	data, err := st.Read(t.Context(), "pseudo/1/case0.nii.gz")
	if err != nil {
		t.Fatal(err)
	}
	file, _, err := nifti.ReadLabels(bytes.NewReader(data), nifti.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if scan, _ := fittest.Scan(0, 1); !file.SameGrid(scan.Geometry, 1e-3) || !bytes.Equal(file.Data, s.Properties().Restore(labels).Data) {
		t.Error("the NIfTI differs from the stored labels")
	}
}

// golden is the digest of what version writes. When it changes, raise version:
// pseudo-labels in people's stores would otherwise pass for those of this program.
const golden = "1 db96b2581316bd2cdc2b93430d42e336"

// A student learns from the largest pieces where the plan asks for them, and the note
// counts what is left.
func TestCaseKeepsLargest(t *testing.T) {
	st, c, list := ready(t, 2, 1)
	label(t, st, c, list[0])
	s, want := stored(t, st, list[0])
	if statistics.KeepLargest(want, s.Shape(), []int{1, 2, 3}) == 0 {
		t.Fatal("there is nothing to remove: the test says nothing")
	}
	c.Plan.Inference.KeepLargest = []string{"liver", "right_kidney", "left_kidney"}
	label(t, st, c, list[0])
	if _, got := stored(t, st, list[0]); !bytes.Equal(got, want) {
		t.Error("other labels than the largest pieces")
	}
	voxels := make([]int64, 4)
	for _, l := range want {
		voxels[l]++
	}
	if note, err := ReadNote(t.Context(), st, 1, list[0].Case); err != nil || !slices.Equal(note.Voxels, voxels) {
		t.Errorf("the note counts %v, want %v; %v", note.Voxels, voxels, err)
	}
}

func TestGolden(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors fuse products of the reference device")
	}
	st, c, list := ready(t, 2, 1)
	label(t, st, c, list[0])
	_, labels := stored(t, st, list[0])
	note, err := ReadNote(t.Context(), st, 1, "case0")
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	h.Write(labels)
	fmt.Fprintf(h, "%.6f %v", note.Confidence, note.Voxels)
	if got := fmt.Sprint(version, " ", hex.EncodeToString(h.Sum(nil))[:32]); got != golden {
		t.Errorf("pseudo-labels are %q, want %q: raise version, then set golden", got, golden)
	}
}

func TestCaseIsDoneOnce(t *testing.T) {
	st, c, list := ready(t, 2, 1)
	label(t, st, c, list[0])
	before := contents(t, st)
	label(t, st, c, list[0])
	if after := contents(t, st); !slices.Equal(before, after) {
		t.Errorf("labelled again:\n%v\n%v", before, after)
	}
	for name, change := range map[string]func(c *Config, in *Prepared){
		"another image":   func(_ *Config, in *Prepared) { in.Digest = "other" },
		"other teachers":  func(c *Config, _ *Prepared) { c.Models = c.Models[:1] },
		"other inference": func(c *Config, _ *Prepared) { c.Plan.Inference.Mirror = "x" },
	} {
		c, in := c, list[0]
		change(&c, &in)
		label(t, st, c, in)
		after := contents(t, st)
		if slices.Equal(before, after) {
			t.Errorf("%s: not labelled again", name)
		}
		before = after
	}
	other := c
	other.Plan.Training.StudentEpochs = 77
	label(t, st, c, list[0])
	before = contents(t, st)
	if label(t, st, other, list[0]); !slices.Equal(before, contents(t, st)) {
		t.Error("a longer student makes pseudo-labels anew")
	}
}

func contents(t *testing.T, st *store.Store) (out []string) {
	t.Helper()
	infos, err := st.List(t.Context(), "pseudo/")
	if err != nil || len(infos) == 0 {
		t.Fatal(infos, err)
	}
	for _, i := range infos {
		out = append(out, fmt.Sprint(i.Key, i.Generation))
	}
	return out
}

// A run that dies while it replaces labels must not leave the old row in force:
// whoever goes back to the old teachers would get labels of both.
func TestDyingLeavesNoMixture(t *testing.T) {
	dead := errors.New("the machine died")
	for _, at := range []string{"/labels/", "/foreground/", "case0.zarr/zarr.json", "case0.nii.gz", "case0.json"} {
		st, old, list := ready(t, 2, 1)
		fresh := old
		fresh.Models = slices.Clone(old.Models[:1])
		label(t, st, old, list[0])
		_, want := stored(t, st, list[0])
		ctx, die := context.WithCancel(t.Context())
		dying := store.WithFault(st, func(op, key string) error {
			if op == "create" && strings.HasPrefix(key, "pseudo/") && strings.Contains(key, at) {
				die()
				return dead
			}
			return nil
		})
		if row, err := Case(ctx, dying, fresh, list[0]); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: row %+v, error %v", at, row, err)
		}
		if _, err := ReadNote(t.Context(), st, 1, "case0"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a note stands for labels that are not there: %v", at, err)
		}
		label(t, st, old, list[0])
		if _, got := stored(t, st, list[0]); !bytes.Equal(got, want) {
			t.Errorf("%s: the old teachers' labels are not theirs", at)
		}
	}
}

func TestCaseRefuses(t *testing.T) {
	st, c, list := ready(t, 1, 2)
	if err := st.Remove(t.Context(), list[1].Prefix+"/image/zarr.json"); err != nil {
		t.Fatal(err)
	}
	full := store.WithFault(st, func(op, key string) error {
		if op == "commit" && strings.HasSuffix(key, ".nii.gz") {
			return errors.New("no space left")
		}
		return nil
	})
	damaged := store.WithFault(st, func(op, key string) error {
		if op == "read" && strings.Contains(key, "/image/c/") {
			return errors.New("input/output error")
		}
		return nil
	})
	for _, try := range []struct {
		name   string
		st     *store.Store
		in     Prepared
		memory int64
		kind   cases.Kind
	}{
		{"not prepared", st, list[1], 0, cases.Unreadable},
		{"damaged image", damaged, list[0], 0, cases.Unreadable},
		{"full store", full, list[0], 0, cases.NotWritten},
		{"too large", st, list[0], 1000, cases.TooLarge},
	} {
		c := c
		c.Options.Memory = try.memory
		row, err := Case(t.Context(), try.st, c, try.in)
		if err != nil || row.Outcome != manifest.Rejected || row.Reason != try.kind || row.Message == "" {
			t.Errorf("%s: row %+v, error %v", try.name, row, err)
		}
		if _, err := ReadNote(t.Context(), st, 1, try.in.Case); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a note was left: %v", try.name, err)
		}
	}
	label(t, st, c, list[0]) // all of these are tried again
	c.Models[0] = predict.ModelRef{Weights: "gone", Digest: "gone"}
	if _, err := Case(t.Context(), st, c, list[0]); err == nil || !strings.HasPrefix(err.Error(), "pseudo: case0: ") {
		t.Errorf("no teacher: %v", err)
	}
}

func TestSelect(t *testing.T) {
	notes := []Note{{Case: "c", Confidence: 0.9}, {Case: "a", Confidence: 0.5}, {Case: "b"}, {Case: "d", Confidence: 0.7}}
	for _, c := range []struct {
		least         float64
		kept, dropped []string
	}{
		{0, []string{"a", "b", "c", "d"}, []string{}},
		{0.7, []string{"c", "d"}, []string{"a", "b"}},
		{1, []string{}, []string{"a", "b", "c", "d"}},
		{math.Inf(1), []string{}, []string{"a", "b", "c", "d"}},
	} {
		got := Select(notes, nil, Rule{MinConfidence: c.least})
		if len(got.Why) != len(c.dropped) {
			t.Errorf("least %v: reasons %v", c.least, got.Why)
		}
		got.Why = nil
		if d := cmp.Diff(Selection{Rule: Rule{MinConfidence: c.least}, Kept: c.kept, Dropped: c.dropped}, got); d != "" {
			t.Errorf("least %v (-want +got)\n%s", c.least, d)
		}
	}
	if notes[0].Case != "c" {
		t.Error("the notes were put in another order")
	}
}

func TestSelectionAndNotesAreFiles(t *testing.T) {
	st := fittest.Open(t)
	s := Select([]Note{{Case: "a", Confidence: 1}}, nil, Rule{MinConfidence: 0.5})
	if err := WriteSelection(t.Context(), st, 2, s); err != nil {
		t.Fatal(err)
	}
	data, err := st.Read(t.Context(), "pseudo/2/selection.json")
	want := "{\n \"rule\": {\n  \"min_confidence\": 0.5\n },\n \"kept\": [\n  \"a\"\n ],\n \"dropped\": []\n}\n"
	if err != nil || string(data) != want {
		t.Errorf("%v: %s", err, data)
	}
	if err := st.Write(t.Context(), "pseudo/2/x.json", []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadNote(t.Context(), st, 2, "x"); err == nil || !strings.HasPrefix(err.Error(), "pseudo: read note of x") {
		t.Errorf("a damaged note: %v", err)
	}
	full := store.WithFault(st, func(string, string) error { return errors.New("no space left") })
	if err := WriteSelection(t.Context(), full, 2, s); err == nil {
		t.Error("a full store was not reported")
	}
}
