package store_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
)

func TestGS(t *testing.T) {
	storetest.Bucket(t, "conformance")
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) *store.Store {
		return mustOpen(t, fmt.Sprintf("gs://conformance/test/%d", n.Add(1)))
	})
}

// More than one request's worth of bytes is still one object, there at the end or not at all.
func TestGSLargeObject(t *testing.T) {
	storetest.Bucket(t, "large")
	s := mustOpen(t, "gs://large")
	const pieces, size = 9, 2 << 20
	for _, commit := range []bool{false, true} {
		w, err := s.Create(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		for i := range pieces {
			if _, err := w.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				t.Fatal(err)
			}
		}
		if !commit {
			w.Abort()
			if got := keys(t, s, ""); len(got) != 0 {
				t.Errorf("an aborted upload left %q", got)
			}
			continue
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.ReadRange(t.Context(), "x", (pieces-1)*size-1, 2)
	if err != nil || !bytes.Equal(got, []byte{pieces - 2, pieces - 1}) {
		t.Errorf("%v, %v", got, err)
	}
}
