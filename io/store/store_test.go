package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
)

func mustOpen(t *testing.T, root string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLocal(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return mustOpen(t, t.TempDir()+"/made/by the first write") })
}

// memStores numbers the stores of this process, which outlive a test that is run again.
var memStores atomic.Int64

func TestMem(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store {
		return mustOpen(t, fmt.Sprintf("mem://conformance/%d", memStores.Add(1)))
	})
}
