package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
	"noisystudent/transforms/cases"
)

func open(t testing.TB, root string) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestDigest(t *testing.T) {
	type one struct {
		A int `json:"a"`
		B string
	}
	type two struct {
		B string
		A int `json:"a"`
	}
	if Digest(one{1, "x"}) != Digest(two{"x", 1}) || Digest(one{1, "x"}) != Digest(map[string]any{"B": "x", "a": 1}) {
		t.Error("the order of fields matters")
	}
	seen := map[string]string{}
	for _, parts := range [][]any{{}, {1}, {1, 2}, {[]int{1, 2}}, {12}, {"1"}, {"a", "b"}, {"ab"}, {1.5}, {nil}, {int64(1 << 60)}, {int64(1<<60 + 1)}} {
		d := Digest(parts...)
		if other, twice := seen[d]; twice || len(d) != 64 {
			t.Errorf("%v has digest %s, as %s", parts, d, other)
		}
		seen[d] = fmt.Sprint(parts)
	}
	// Golden: keys in stores depend on it. Changing it makes every output anew.
	if got, want := Digest("plan", 1, 2.5), "38dc8c33b4324062e63ff47f6e62d12419018596a2e192f15979c27e4b3eccbd"; got != want { // sha256 of ["plan",1,2.5]
		t.Errorf("digest is %s, want %s", got, want)
	}
}

func TestEncode(t *testing.T) {
	v := struct {
		A [][3]int
		B []string
		C []float64
		D string
		E []int
	}{[][3]int{{1, 2, 3}, {4, 5, 6}}, []string{"[1,\n2]"}, []float64{0.5}, "[ 1,  2 ]", nil}
	got, err := Encode(v)
	want := "{\n  \"A\": [\n    [1, 2, 3],\n    [4, 5, 6]\n  ],\n  \"B\": [\n    \"[1,\\n2]\"\n  ],\n  \"C\": [0.5],\n  \"D\": \"[ 1,  2 ]\",\n  \"E\": null\n}\n"
	if d := cmp.Diff(want, string(got)); err != nil || d != "" {
		t.Errorf("error %v (-want +got)\n%s", err, d)
	}
}

func TestOnce(t *testing.T) {
	ctx := context.Background()
	st := open(t, "mem://manifest-once")
	runs := 0
	var fail error
	work := func(r *Row) error {
		runs++
		r.Output = "out/x.json"
		if fail != nil {
			return fail
		}
		return st.Write(ctx, r.Output, []byte("made"))
	}
	wanted := Row{Stage: "preprocess", Case: "x", Version: 1, Input: "in", Plan: "plan"}
	fault := func(kind cases.Kind) error {
		return fmt.Errorf("resample: %w", &cases.Fault{Kind: kind, File: "x.nii.gz", Remedy: "mend it"})
	}
	change := func(f func(*Row)) Row {
		r := wanted
		f(&r)
		return r
	}
	for _, step := range []struct {
		name    string
		before  func()
		wanted  Row
		fail    error
		runs    int
		outcome Outcome
	}{
		{"first", nil, wanted, nil, 1, Done},
		{"again", nil, wanted, nil, 1, Done},
		{"another input", nil, change(func(r *Row) { r.Input = "in2" }), nil, 2, Done},
		{"another plan", nil, change(func(r *Row) { r.Plan = "plan2" }), nil, 3, Done},
		{"another model", nil, change(func(r *Row) { r.Model = "m" }), nil, 4, Done},
		{"a new version", nil, change(func(r *Row) { r.Version = 2 }), nil, 5, Done},
		{"back", nil, wanted, nil, 6, Done},
		{"output gone", func() { st.Remove(ctx, "out/x.json") }, wanted, nil, 7, Done},
		{"row damaged", func() { st.Write(ctx, "ledger/preprocess/x.json", []byte("{")) }, wanted, nil, 8, Done},
		{"row of another case", func() { st.Write(ctx, "ledger/preprocess/x.json", []byte(`{"stage":"preprocess","case":"y"}`)) }, wanted, nil, 9, Done},
		{"refused", nil, change(func(r *Row) { r.Input = "bad" }), fault(cases.Truncated), 10, Rejected},
		{"refused already", nil, change(func(r *Row) { r.Input = "bad" }), nil, 10, Rejected},
		{"refused for now", nil, change(func(r *Row) { r.Input = "big" }), fault(cases.TooLarge), 11, Rejected},
		{"tried again", nil, change(func(r *Row) { r.Input = "big" }), nil, 12, Done},
	} {
		if step.before != nil {
			step.before()
		}
		fail = step.fail
		row, err := Once(ctx, st, step.wanted, work)
		if err != nil || runs != step.runs || row.Outcome != step.outcome {
			t.Fatalf("%s: %d runs, row %+v, error %v; want %d runs, %s", step.name, runs, row, err, step.runs, step.outcome)
		}
		if step.outcome == Rejected {
			if r := row.Rejection(); r.Case != "x" || r.Stage != "preprocess" || r.Reason == "" || r.File != "x.nii.gz" || row.Output != "" {
				t.Errorf("%s: rejection %+v, output %q", step.name, r, row.Output)
			}
		}
	}
}

func TestOnceReportsSystemicErrors(t *testing.T) {
	ctx := context.Background()
	st := open(t, "mem://manifest-systemic")
	broken := errors.New("out of memory")
	if _, err := Once(ctx, st, Row{Stage: "s", Case: "x"}, func(*Row) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if _, found, err := Lookup(ctx, st, "s", "x"); found || err != nil {
		t.Errorf("a row was left: %v %v", found, err)
	}
	full := store.WithFault(st, func(op, key string) error {
		if op == "commit" {
			return errors.New("no space left")
		}
		return nil
	})
	if _, err := Once(ctx, full, Row{Stage: "s", Case: "x"}, func(*Row) error { return nil }); err == nil {
		t.Error("a full disk was not reported")
	}
}

func TestRows(t *testing.T) {
	ctx := context.Background()
	st := open(t, "mem://manifest-rows")
	want := map[string]Row{}
	for i := range 100 {
		r := Row{Stage: "s", Case: fmt.Sprintf("case%03d", i), Input: fmt.Sprint(i), Outcome: Done}
		want[r.Case] = r
		if err := Record(ctx, st, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := Record(ctx, st, Row{Stage: "s2", Case: "other"}); err != nil {
		t.Fatal(err)
	}
	got, err := Rows(ctx, st, "s")
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("error %v, rows (-want +got)\n%s", err, d)
	}
	if none, err := Rows(ctx, st, "never"); err != nil || len(none) != 0 {
		t.Errorf("rows of no stage: %v %v", none, err)
	}
}

func TestFileDigest(t *testing.T) {
	ctx := context.Background()
	folder := t.TempDir()
	path := filepath.Join(folder, "scan.nii.gz")
	old := time.Now().Add(-time.Hour)
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	st := open(t, "mem://manifest-files")
	digest := func() string {
		t.Helper()
		d, err := FileDigest(ctx, st, path)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	write("one", old)
	first := digest()
	write("two", old.Add(time.Second))
	if digest() == first {
		t.Error("other bytes, same digest")
	}
	write("one", old.Add(2*time.Second))
	if digest() != first {
		t.Error("same bytes, other digest")
	}
	// Same size and time: the cache answers, which is what makes a second run quick.
	write("six", old.Add(2*time.Second))
	if digest() != first {
		t.Error("the file was read although size and time had not changed")
	}
	// A file that was just written is never believed to be unchanged.
	now := time.Now()
	write("now", now)
	fresh := digest()
	write("new", now)
	if digest() == fresh {
		t.Error("a file rewritten within the same moment was not read again")
	}
	var fault *cases.Fault
	if _, err := FileDigest(ctx, st, filepath.Join(folder, "absent")); !errors.As(err, &fault) || fault.Kind != cases.Missing || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	full := store.WithFault(st, func(op, key string) error {
		if op == "create" {
			return errors.New("no space left")
		}
		return nil
	})
	write("more", old)
	if _, err := FileDigest(ctx, full, path); err == nil || errors.As(err, &fault) {
		t.Errorf("a full ledger is the pipeline's fault, not the case's: %v", err)
	}
}

func TestInputDigest(t *testing.T) {
	ctx := context.Background()
	st := open(t, "mem://manifest-input")
	for key, text := range map[string]string{"a": "image", "b": "labels", "c": "labels"} {
		if err := st.Write(ctx, key, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	digest := func(image, labels string) string {
		t.Helper()
		c := cases.Case{ID: "x", Image: st.Address(image)}
		if labels != "" {
			c.Labels = st.Address(labels)
		}
		d, err := InputDigest(ctx, st, c)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if digest("a", "b") != digest("a", "c") {
		t.Error("equal bytes elsewhere, other digest")
	}
	if digest("a", "b") == digest("b", "a") || digest("a", "") == digest("a", "b") {
		t.Error("image and labels are not told apart")
	}
}

// A second run over an unchanged folder asks the ledger twice a case.
func BenchmarkSecondRunOf1000(b *testing.B) {
	ctx := context.Background()
	root := b.TempDir()
	st, err := store.Open(ctx, filepath.Join(root, "store"))
	if err != nil {
		b.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	var list []cases.Case
	for i := range 1000 {
		path := filepath.Join(root, fmt.Sprintf("%d.nii.gz", i))
		os.WriteFile(path, bytes.Repeat([]byte{byte(i)}, 1000), 0o644)
		os.Chtimes(path, old, old)
		list = append(list, cases.Case{ID: fmt.Sprint(i), Image: path})
	}
	run := func() {
		for _, c := range list {
			input, err := InputDigest(ctx, st, c)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Once(ctx, st, Row{Stage: "s", Case: c.ID, Input: input}, func(r *Row) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	run()
	for b.Loop() {
		run()
	}
}

// TestIndex reads many rows through the index: it answers for rows as they are, whatever
// became of them or of itself.
func TestIndex(t *testing.T) {
	ctx := context.Background()
	for name, st := range map[string]*store.Store{"folder": open(t, t.TempDir()), "memory": open(t, "mem://manifest-index")} {
		want := manyRows(t, st, 2*indexFrom)
		reads := 0
		var mu sync.Mutex
		counted := store.WithFault(st, func(op, key string) error {
			mu.Lock()
			defer mu.Unlock()
			if op == "read" {
				reads++
			}
			return nil
		})
		check := func(what string, most int) {
			t.Helper()
			reads = 0
			got, err := Rows(ctx, counted, "s")
			if d := cmp.Diff(want, got); err != nil || d != "" {
				t.Errorf("%s, %s: error %v, rows (-want +got)\n%s", name, what, err, d)
			}
			if reads > most {
				t.Errorf("%s, %s: %d reads, want at most %d", name, what, reads, most)
			}
		}
		check("first", 2*indexFrom+1)
		check("again", 1)
		r := want["case0007"]
		r.Input = "another"
		want[r.Case] = r
		if err := Record(ctx, st, r); err != nil {
			t.Fatal(err)
		}
		check("a row changed", 2)
		delete(want, "case0008")
		if err := st.Remove(ctx, rowKey("s", "case0008")); err != nil {
			t.Fatal(err)
		}
		check("a row gone", 2)
		if err := st.Write(ctx, rowKey("s", "case0009"), []byte("{")); err != nil {
			t.Fatal(err)
		}
		delete(want, "case0009")
		check("a row damaged", 3)
		for _, text := range []string{"{", `{"ledger/s/case0001.json": {"generation": 1, "row": {}}}`, `[1]`, ""} {
			if err := st.Write(ctx, "ledger/index/s.json", []byte(text)); err != nil {
				t.Fatal(err)
			}
			check("the index is "+text, 2*indexFrom+1)
			check("the index was "+text, 3)
		}
		full := store.WithFault(st, func(op, key string) error {
			if op == "create" {
				return errors.New("read-only")
			}
			return nil
		})
		if err := st.Remove(ctx, "ledger/index/s.json"); err != nil {
			t.Fatal(err)
		}
		if got, err := Rows(ctx, full, "s"); err != nil || len(got) != len(want) {
			t.Errorf("%s: of a store that cannot be written %d rows, %v", name, len(got), err)
		}
	}
}

func manyRows(t testing.TB, st *store.Store, n int) map[string]Row {
	t.Helper()
	rows := map[string]Row{}
	for i := range n {
		r := Row{
			Stage: "s", Case: fmt.Sprintf("case%04d", i), Version: 1, Input: Digest(i), Plan: Digest("plan"), Model: Digest("model"),
			Outcome: Done, Output: fmt.Sprintf("predictions/0123456789ab/case%04d.nii.gz", i),
		}
		rows[r.Case] = r
		if err := Record(context.Background(), st, r); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// BenchmarkRows lists and reads a ledger of 10,000 rows: in a folder, in a bucket on this
// machine, and where each request takes 20 ms more, as a bucket elsewhere does; the first
// time, by the rows, and then by their index:
//
//	go test ./transforms/manifest -run '^$' -bench Rows -benchtime 3x
func BenchmarkRows(b *testing.B) {
	const rows, latency = 10_000, 20 * time.Millisecond
	storetest.Bucket(b, "ledger")
	slow := func(st *store.Store) *store.Store {
		return store.WithFault(st, func(string, string) error { time.Sleep(latency); return nil })
	}
	folder, bucket := open(b, b.TempDir()), open(b, "gs://ledger")
	for _, c := range []struct {
		name        string
		fill, store *store.Store
	}{{"folder", folder, folder}, {"bucket", bucket, bucket}, {"distant", nil, slow(bucket)}} {
		if c.fill != nil {
			manyRows(b, c.fill, rows)
		}
		for _, indexed := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/index=%v", c.name, indexed), func(b *testing.B) {
				for range b.N {
					if !indexed {
						b.StopTimer()
						_ = c.store.Remove(b.Context(), "ledger/index/s.json")
						b.StartTimer()
					}
					if got, err := Rows(b.Context(), c.store, "s"); err != nil || len(got) != rows {
						b.Fatal(len(got), err)
					}
				}
			})
		}
	}
}
