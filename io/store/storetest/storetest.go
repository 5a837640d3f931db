// Package storetest is the conformance suite of io/store: every backend passes the same tests.
package storetest

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store"
)

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
	for i, data := range [][]byte{{}, []byte("one"), []byte("longer than one"), bytes.Repeat([]byte{7}, 1<<20), nil} {
		write := []func(context.Context, string, []byte) error{s.Write, s.WriteCache}[i%2]
		if err := write(t.Context(), "a/b/c.bin", data); err != nil {
			t.Fatal(err)
		}
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
		"a\x00b", "a\nb", "\xff", ".store-x", "a/.store-x/b", strings.Repeat("long/", 300) + "x", "a/" + strings.Repeat("x", 256) + "/b",
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
