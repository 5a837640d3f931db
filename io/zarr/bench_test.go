package zarr

import (
	"math"
	"math/rand/v2"
	"testing"

	"noisystudent/io/store"
)

// ct looks to zstd like a resampled, z-scored scan: smooth with noise in the last bits.
func ct(shape []int) []float32 {
	r := rand.New(rand.NewPCG(5, 6))
	data := make([]float32, product(shape))
	for i := range data {
		data[i] = float32(math.Round(1000*math.Sin(float64(i)/5000)+30*r.NormFloat64()) / 140)
	}
	return data
}

var benchMeta = Meta{Shape: []int{96, 320, 320}, Chunk: []int{16, 64, 64}}

func benchStore(b *testing.B) *store.Store {
	st, err := store.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	return st
}

func BenchmarkCreate(b *testing.B) {
	st, data := benchStore(b), ct(benchMeta.Shape)
	b.SetBytes(int64(4 * len(data)))
	for b.Loop() {
		if err := Create(b.Context(), st, "a", benchMeta, data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadBox reads the plan's training patch at a place that no chunk begins at.
func BenchmarkReadBox(b *testing.B) {
	st := benchStore(b)
	if err := Create(b.Context(), st, "a", benchMeta, ct(benchMeta.Shape)); err != nil {
		b.Fatal(err)
	}
	a, err := Open(b.Context(), st, "a")
	if err != nil {
		b.Fatal(err)
	}
	patch := make([]float32, 40*224*192)
	b.SetBytes(int64(4 * len(patch)))
	for b.Loop() {
		if err := ReadBox(b.Context(), a, []int{21, 33, 55}, []int{61, 257, 247}, patch); err != nil {
			b.Fatal(err)
		}
	}
}
