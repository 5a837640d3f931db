package pipelines

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
)

// -moments is how often TestStoreFaults lets the store fail.
var moments = flag.Int("moments", 4, "of TestStoreFaults: how often the store fails")

// worked is one way of using a store from the first stage to the last.
type worked struct {
	err      error
	rejected []Rejected
}

func work(t *testing.T, root, st, out string) (w worked) {
	t.Helper()
	o := tinyOptions(root, st, &notes{})
	p, err := Pseudolabel(t.Context(), o)
	w.rejected = p.Rejected
	if w.err = err; err != nil {
		return w
	}
	q, err := Predict(t.Context(), Options{Store: st, Progress: &notes{}}, PredictRequest{Input: filepath.Join(root, "imagesTs"), Output: out})
	w.err, w.rejected = err, append(w.rejected, q.Rejected...)
	return w
}

// lasting are the files of a store that are the same whenever they are made: those
// without times in them.
func lasting(t *testing.T, st string) map[string]string {
	text, _ := contents(t, st)
	timed := regexp.MustCompile(`^(ledger/files|report)/|/(state\.json|training\.jsonl|events\.out.*)$`)
	maps.DeleteFunc(text, func(key, _ string) bool { return timed.MatchString(key) })
	return text
}

// TestStoreFaults fills the disk, or makes the store read-only, at random moments from
// the first write to the last: the message says so, and the same commands make what an
// undisturbed run makes once the store can be written again.
func TestStoreFaults(t *testing.T) {
	folder := t.TempDir()
	root, whole, out := filepath.Join(folder, "cohort"), filepath.Join(folder, "whole"), filepath.Join(folder, "out")
	tinyCohort(t, root, 2, 2, 2, 0)
	var writes atomic.Int64
	count := store.FaultUnder(whole, func(op, _ string) error {
		if changes[op] {
			writes.Add(1)
		}
		return nil
	})
	if w := work(t, root, whole, out); w.err != nil || len(w.rejected) > 0 {
		t.Fatalf("undisturbed: %+v", w)
	}
	count()
	want := lasting(t, whole)
	labels, _ := contents(t, out)
	random := rand.New(rand.NewPCG(1, 2))
	var failed, refused int
	for i := range *moments {
		cause := []error{syscall.ENOSPC, syscall.EROFS}[i%2]
		at := random.Int64N(writes.Load())
		st, outs := filepath.Join(folder, fmt.Sprint("store", i)), filepath.Join(folder, fmt.Sprint("out", i))
		var n atomic.Int64
		repair := store.FaultUnder(st, func(op, _ string) error {
			if changes[op] && n.Add(1) > at && (cause != syscall.ENOSPC || op != "remove") {
				return cause
			}
			return nil
		})
		w := work(t, root, st, outs)
		repair()
		switch {
		case w.err != nil:
			failed++
			if text := w.err.Error(); !strings.Contains(text, cause.Error()) || !strings.Contains(text, st) || strings.Contains(text, "\n") {
				t.Errorf("%v after %d writes: %v", cause, at, text)
			}
		case len(w.rejected) > 0:
			refused++
		default:
			t.Errorf("%v after %d of %d writes: nothing was said", cause, at, writes.Load())
		}
		for _, x := range w.rejected {
			if x.Reason != cases.NotWritten || !strings.Contains(x.Message, cause.Error()) || !strings.Contains(x.Message, "make room") {
				t.Errorf("%v after %d writes: %+v", cause, at, x)
			}
		}
		if w := work(t, root, st, outs); w.err != nil || len(w.rejected) > 0 {
			t.Errorf("repaired after %d writes: %+v", at, w)
			continue
		}
		got := lasting(t, st)
		for key := range want {
			if got[key] != want[key] {
				t.Errorf("%v after %d writes: %s is not as in an undisturbed run", cause, at, key)
			}
		}
		if text, _ := contents(t, outs); !maps.Equal(text, labels) {
			t.Errorf("%v after %d writes: the labels differ", cause, at)
		}
		checkWhole(t, st)
	}
	t.Logf("%d moments among %d writes: %d runs failed, %d went on with rejected cases", *moments, writes.Load(), failed, refused)
}

// changes are the operations that need room or the right to write.
var changes = map[string]bool{"create": true, "write": true, "commit": true, "remove": true}

// TestReadOnlyStore is about what people read first: the store, not what was to be
// written into it. What is done already needs no writing.
func TestReadOnlyStore(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 2, 1, 0, 0)
	scans, _ := filepath.Glob(filepath.Join(root, "*", "*.nii.gz"))
	for _, scan := range scans { // so old that their digests are remembered
		if err := os.Chtimes(scan, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	o := tinyOptions(root, st, &notes{})
	if _, err := Preprocess(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer store.FaultUnder(st, func(op, _ string) error {
		if changes[op] {
			return syscall.EROFS
		}
		return nil
	})()
	if p, err := Preprocess(t.Context(), o); err != nil || p.Cases != 3 || p.New != 0 {
		t.Errorf("nothing to do: %+v, %v", p, err)
	}
	empty := filepath.Join(st, "empty")
	want := "pipelines: the store " + empty + " cannot be written: "
	if _, err := Preprocess(t.Context(), tinyOptions(root, empty, &notes{})); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), syscall.EROFS.Error()) {
		t.Errorf("%v, want %s", err, want)
	}
}
