package storetest

import (
	"bytes"
	"errors"
	"io/fs"
	"sync"
	"testing"

	"noisystudent/io/store"
)

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

// testWhole reads while others replace the object by shorter and longer ones.
func testWhole(t *testing.T, s *store.Store) {
	const size = 1 << 13
	mustWrite(t, s, "x", make([]byte, size))
	var wg sync.WaitGroup
	defer wg.Wait()
	for w := range 3 {
		wg.Go(func() {
			for range 10 {
				if err := s.Write(t.Context(), "x", bytes.Repeat([]byte{byte(w)}, size*(w+1))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 40 {
		data := mustRead(t, s, "x")
		if len(data) != size*int(data[0]+1) || bytes.Count(data, data[:1]) != len(data) {
			t.Errorf("read a mixture of %d bytes", len(data))
		}
	}
}
