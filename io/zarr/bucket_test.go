package zarr_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
	"noisystudent/io/zarr"
)

// TestReadBoxFromBucket counts bytes: a box costs the chunks that it touches, the
// shard's index once, and nothing else of the shard.
func TestReadBoxFromBucket(t *testing.T) {
	service := storetest.Bucket(t, "data")
	st, err := store.Open(t.Context(), "gs://data/case.zarr")
	if err != nil {
		t.Fatal(err)
	}
	shape, chunk := []int{64, 64, 96}, []int{16, 32, 32}
	const chunks, chunkBytes = 4 * 2 * 3, 16 * 32 * 32 * 4
	data := make([]int32, 64*64*96)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = r.Int32() // that no codec makes smaller
	}
	if err := zarr.Create(t.Context(), st, "image", zarr.Meta{Shape: shape, Shard: shape, Chunk: chunk}, data); err != nil {
		t.Fatal(err)
	}
	a, err := zarr.Open(t.Context(), st, "image")
	if err != nil {
		t.Fatal(err)
	}
	const index = chunks*16 + 4
	for _, c := range []struct {
		lo, hi  []int
		touched int64
		more    int64
	}{
		{[]int{0, 0, 0}, []int{1, 1, 1}, 1, index},
		{[]int{10, 30, 30}, []int{20, 34, 34}, 8, 0},
		{[]int{0, 0, 0}, []int{40, 32, 64}, 6, 0},
	} {
		before := service.Sent()
		shape := []int{c.hi[0] - c.lo[0], c.hi[1] - c.lo[1], c.hi[2] - c.lo[2]}
		box := make([]int32, shape[0]*shape[1]*shape[2])
		if err := zarr.ReadBox(t.Context(), a, c.lo, c.hi, box); err != nil {
			t.Fatal(err)
		}
		if first := data[(c.lo[0]*64+c.lo[1])*96+c.lo[2]]; box[0] != first || slices.Equal(box, make([]int32, len(box))) {
			t.Errorf("%v to %v holds %d, want %d", c.lo, c.hi, box[0], first)
		}
		sent := service.Sent() - before
		if least := c.touched * chunkBytes; sent < least || sent > least+c.touched*100+c.more {
			t.Errorf("%v to %v took %d bytes; its %d chunks have %d", c.lo, c.hi, sent, c.touched, least)
		}
	}
}
