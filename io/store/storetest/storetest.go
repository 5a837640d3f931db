// Package storetest is the conformance suite of io/store: every backend passes the same tests.
package storetest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store"
)

// Run holds a backend to the promises of package store. open returns a new empty store at each call.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s *store.Store)
	}{
		{"write then read", testWriteRead},
		{"missing object", testMissing},
		{"ranges", testRanges},
		{"nothing before commit", testCommit},
		{"abort leaves nothing", testAbort},
		{"a finished writer refuses", testFinished},
		{"fault leaves nothing", testFault},
		{"cancelled context", testCancel},
		{"list", testList},
		{"keys", testKeys},
		{"addresses", testAddresses},
		{"generations", testGenerations},
		{"one of many writers wins", testRace},
		{"readers see whole objects", testWhole},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func testWriteRead(t *testing.T, s *store.Store) {
	for _, data := range [][]byte{{}, []byte("one"), []byte("longer than one"), bytes.Repeat([]byte{7}, 1<<20), nil} {
		mustWrite(t, s, "a/b/c.bin", data)
		if got := mustRead(t, s, "a/b/c.bin"); !bytes.Equal(got, data) {
			t.Fatalf("read %d bytes, want the %d written", len(got), len(data))
		}
		info, err := s.Stat(t.Context(), "a/b/c.bin")
		if err != nil || info.Size != int64(len(data)) || info.Key != "a/b/c.bin" || info.ModTime.IsZero() {
			t.Fatalf("stat %+v, %v", info, err)
		}
	}
	if err := s.Remove(t.Context(), "a/b/c.bin"); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s, "")
}

func testMissing(t *testing.T, s *store.Store) {
	ctx := t.Context()
	check := func() {
		t.Helper()
		for _, key := range []string{"none", "folder", "folder/none", "folder/x/below a file"} {
			_, err := s.Read(ctx, key)
			wantIs(t, "read "+key, err, fs.ErrNotExist)
			_, err = s.ReadRange(ctx, key, 0, 0)
			wantIs(t, "empty range of "+key, err, fs.ErrNotExist)
			_, err = s.Open(ctx, key)
			wantIs(t, "open "+key, err, fs.ErrNotExist)
			_, err = s.Stat(ctx, key)
			wantIs(t, "stat "+key, err, fs.ErrNotExist)
			wantIs(t, "remove "+key, s.Remove(ctx, key), fs.ErrNotExist)
		}
	}
	check()
	mustWrite(t, s, "folder/x", []byte("x"))
	check()
}

func testRanges(t *testing.T, s *store.Store) {
	mustWrite(t, s, "x", []byte("0123456789"))
	for _, r := range []struct {
		off, n int64
		want   string
	}{{0, 10, "0123456789"}, {0, 1, "0"}, {3, 4, "3456"}, {9, 1, "9"}, {10, 0, ""}, {0, 0, ""}} {
		got, err := s.ReadRange(t.Context(), "x", r.off, r.n)
		if err != nil || string(got) != r.want {
			t.Errorf("%d bytes at %d: %q, %v; want %q", r.n, r.off, got, err, r.want)
		}
	}
	for _, r := range [][2]int64{{0, 11}, {9, 2}, {10, 1}, {11, 0}, {11, 1}, {5, 1 << 50}, {1 << 50, 1}} {
		_, err := s.ReadRange(t.Context(), "x", r[0], r[1])
		wantIs(t, "a range past the end", err, io.ErrUnexpectedEOF)
	}
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {1<<63 - 1, 1}} {
		if _, err := s.ReadRange(t.Context(), "x", r[0], r[1]); err == nil {
			t.Errorf("%d bytes at %d were read", r[1], r[0])
		}
	}
}

func testCommit(t *testing.T, s *store.Store) {
	w, err := s.Create(t.Context(), "d/x")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, piece := range []string{"in ", "three ", "pieces"} {
		if _, err := io.WriteString(w, piece); err != nil {
			t.Fatal(err)
		}
		wantKeys(t, s, "")
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	wantKeys(t, s, "", "d/x")
	r, err := s.Open(t.Context(), "d/x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "in three pieces" {
		t.Fatalf("%q, %v", got, err)
	}
}

func testAbort(t *testing.T, s *store.Store) {
	mustWrite(t, s, "old", []byte("old"))
	for _, size := range []int{0, 1, 1 << 16} {
		for _, key := range []string{"old", "new"} {
			w, err := s.Create(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if size > 0 {
				if _, err := w.Write(make([]byte, size)); err != nil {
					t.Fatal(err)
				}
			}
			w.Abort()
			w.Abort()
		}
	}
	wantKeys(t, s, "", "old")
	if got := mustRead(t, s, "old"); string(got) != "old" {
		t.Fatalf("an aborted write left %d bytes", len(got))
	}
}

func testFinished(t *testing.T, s *store.Store) {
	for _, finish := range []func(w *store.Writer) error{(*store.Writer).Commit, func(w *store.Writer) error { w.Abort(); return nil }} {
		w, err := s.Create(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := finish(w); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("more")); err == nil {
			t.Error("a finished writer took bytes")
		}
		if err := w.Commit(); err == nil {
			t.Error("a finished writer committed")
		}
	}
	if got := mustRead(t, s, "x"); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func testFault(t *testing.T, s *store.Store) {
	full := errors.New("no space left on device")
	mustWrite(t, s, "x", []byte("old"))
	for _, op := range []string{"create", "write", "commit"} {
		faulty := store.WithFault(s, func(o, key string) error {
			if o == op {
				return full
			}
			return nil
		})
		for _, key := range []string{"x", "new"} {
			wantIs(t, op, faulty.Write(t.Context(), key, []byte("data")), full)
		}
		wantKeys(t, s, "", "x")
		if got := mustRead(t, faulty, "x"); string(got) != "old" {
			t.Fatalf("a failed %s left %q", op, got)
		}
	}
	faulty := store.WithFault(s, func(op, key string) error { return full })
	_, err := faulty.Read(t.Context(), "x")
	wantIs(t, "read", err, full)
	_, err = faulty.Stat(t.Context(), "x")
	wantIs(t, "stat", err, full)
	_, err = faulty.List(t.Context(), "")
	wantIs(t, "list", err, full)
	wantIs(t, "remove", faulty.Remove(t.Context(), "x"), full)
}

func testList(t *testing.T, s *store.Store) {
	keys := []string{"a", "b/1", "b/10", "b/2", "b/sub/deep/x", "bc", "ledger/fit/case1.json", "ledger/fit2/case1.json", "z z/ü"}
	for _, i := range []int{4, 0, 8, 2, 6, 1, 3, 5, 7} {
		mustWrite(t, s, keys[i], []byte(keys[i]))
	}
	wantKeys(t, s, "", keys...)
	wantKeys(t, s, "b", "b/1", "b/10", "b/2", "b/sub/deep/x", "bc")
	wantKeys(t, s, "b/", "b/1", "b/10", "b/2", "b/sub/deep/x")
	wantKeys(t, s, "b/1", "b/1", "b/10")
	wantKeys(t, s, "b/sub/deep/x", "b/sub/deep/x")
	wantKeys(t, s, "b/sub/deep/x/")
	wantKeys(t, s, "ledger/fit/", "ledger/fit/case1.json")
	wantKeys(t, s, "z z/ü", "z z/ü")
	wantKeys(t, s, "none/")
	wantKeys(t, s, "a/none/")
	infos, err := s.List(t.Context(), "b/10")
	if err != nil || len(infos) != 1 {
		t.Fatal(infos, err)
	}
	stat, err := s.Stat(t.Context(), "b/10")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stat, infos[0]); diff != "" {
		t.Errorf("list and stat differ: %s", diff)
	}
}

func testKeys(t *testing.T, s *store.Store) {
	ctx := t.Context()
	bad := []string{
		"", ".", "..", "/", "/etc/passwd", "../x", "a/../x", "a/..", "./a", "a/./b", "a//b", "a/", `a\b`, `..\x`, `C:\x`,
		"a\x00b", "a\nb", "\xff", ".store-x", "a/.store-x/b", strings.Repeat("long/", 300) + "x",
	}
	for _, key := range bad {
		_, err := s.Read(ctx, key)
		wantIs(t, "read "+key, err, store.ErrKey)
		_, err = s.Open(ctx, key)
		wantIs(t, "open "+key, err, store.ErrKey)
		_, err = s.ReadRange(ctx, key, 0, 1)
		wantIs(t, "range of "+key, err, store.ErrKey)
		_, err = s.Stat(ctx, key)
		wantIs(t, "stat "+key, err, store.ErrKey)
		_, err = s.Create(ctx, key)
		wantIs(t, "create "+key, err, store.ErrKey)
		_, err = s.WriteIf(ctx, key, nil, 0)
		wantIs(t, "conditional write "+key, err, store.ErrKey)
		wantIs(t, "write "+key, s.Write(ctx, key, nil), store.ErrKey)
		wantIs(t, "remove "+key, s.Remove(ctx, key), store.ErrKey)
	}
	for _, prefix := range []string{"..", "../", "/", "/etc/", "a/../", "a//", `a\`, "./", ".store-"} {
		_, err := s.List(ctx, prefix)
		wantIs(t, "list "+prefix, err, store.ErrKey)
	}
	good := []string{"a b", "..a", "a..b/...", ".hidden/x", "%2e%2e", "a+b&c=d?e#f", "ä/日本", "-x", "~x", strings.Repeat("long/", 40) + "x"}
	for _, key := range good {
		mustWrite(t, s, key, []byte(key))
	}
	for _, key := range good {
		if got := mustRead(t, s, key); string(got) != key {
			t.Errorf("key %q holds %q", key, got)
		}
	}
	if infos, err := s.List(ctx, ""); err != nil || len(infos) != len(good) {
		t.Errorf("%d of %d objects listed, %v", len(infos), len(good), err)
	}
}

func testAddresses(t *testing.T, s *store.Store) {
	mustWrite(t, s, "deep/folder/x.bin", []byte("there"))
	mustWrite(t, s, "y", []byte("top"))
	for key, want := range map[string]string{"deep/folder/x.bin": "there", "y": "top"} {
		got, err := store.ReadAddress(t.Context(), s.Address(key))
		if err != nil || string(got) != want {
			t.Errorf("read %s: %q, %v", s.Address(key), got, err)
		}
		r, err := store.OpenAddress(t.Context(), s.Address(key))
		if err != nil {
			t.Fatal(err)
		}
		got, err = io.ReadAll(r)
		r.Close()
		if err != nil || string(got) != want {
			t.Errorf("open %s: %q, %v", s.Address(key), got, err)
		}
	}
	again, err := store.Open(t.Context(), s.Root())
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, again, "", "deep/folder/x.bin", "y")
	below, err := store.Open(t.Context(), s.Root()+"/deep/")
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, below, "", "folder/x.bin")
	wantKeys(t, below, "folder/", "folder/x.bin")
}

func testGenerations(t *testing.T, s *store.Store) {
	ctx := t.Context()
	first, err := s.WriteIf(ctx, "latest", []byte("1"), 0)
	if err != nil || first <= 0 {
		t.Fatal(first, err)
	}
	_, err = s.WriteIf(ctx, "latest", []byte("no"), 0)
	wantIs(t, "write over an object said to be missing", err, store.ErrGeneration)
	second, err := s.WriteIf(ctx, "latest", []byte("2"), first)
	if err != nil || second <= first {
		t.Fatal(first, second, err)
	}
	for _, stale := range []int64{first, second + 1, 1 << 60, -1} {
		_, err = s.WriteIf(ctx, "latest", []byte("no"), stale)
		wantIs(t, "write over another generation", err, store.ErrGeneration)
	}
	_, err = s.WriteIf(ctx, "none", []byte("no"), second)
	wantIs(t, "write over a missing object", err, store.ErrGeneration)
	if got := mustRead(t, s, "latest"); string(got) != "2" {
		t.Fatalf("%q", got)
	}
	wantKeys(t, s, "", "latest")
	last := second
	for range 20 {
		mustWrite(t, s, "latest", []byte("3"))
		info, err := s.Stat(ctx, "latest")
		if err != nil || info.Generation <= last {
			t.Fatalf("generation %d after %d, %v", info.Generation, last, err)
		}
		last = info.Generation
	}
	reopened, err := store.Open(ctx, s.Root())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reopened.WriteIf(ctx, "latest", []byte("4"), last); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(ctx, "latest"); err != nil {
		t.Fatal(err)
	}
	again, err := s.WriteIf(ctx, "latest", []byte("5"), 0)
	if err != nil || again <= last {
		t.Fatalf("generation %d after removal at %d, %v", again, last, err)
	}
}

// testRace increments a counter from several goroutines by read, add and conditional write: no increment may be lost.
func testRace(t *testing.T, s *store.Store) {
	const writers, increments = 4, 5
	ctx := t.Context()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < increments; {
				var count []byte
				info, err := s.Stat(ctx, "counter")
				if err == nil {
					count, err = s.Read(ctx, "counter")
				}
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
					return
				}
				_, err = s.WriteIf(ctx, "counter", append(count, '.'), info.Generation)
				if err == nil {
					done++
				} else if !errors.Is(err, store.ErrGeneration) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := mustRead(t, s, "counter"); len(got) != writers*increments {
		t.Errorf("%d of %d increments kept", len(got), writers*increments)
	}
	wantKeys(t, s, "", "counter")
}

// testWhole reads while others replace the object.
func testWhole(t *testing.T, s *store.Store) {
	const size = 1 << 14
	mustWrite(t, s, "x", make([]byte, size))
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for range 10 {
				if err := s.Write(t.Context(), "x", bytes.Repeat([]byte{byte(w)}, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		data := mustRead(t, s, "x")
		if len(data) != size || bytes.Count(data, data[:1]) != size {
			t.Errorf("read a mixture of %d bytes", len(data))
		}
	}
	wg.Wait()
}
