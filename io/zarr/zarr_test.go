package zarr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store"
)

// memStores numbers the stores of this process, which outlive a test that is run again.
var memStores atomic.Int64

func memStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), fmt.Sprintf("mem://zarr/%d", memStores.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// voxels are partly empty, so that some chunks are fill value only.
func voxels[T Element](n int) []T {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]T, n)
	for i := n / 4; i < n; i++ {
		data[i] = T(r.IntN(200) - 100)
	}
	return data
}

var grids = []struct{ shape, shard, chunk []int }{
	{[]int{7, 9, 11}, []int{4, 8, 8}, []int{2, 4, 4}},
	{[]int{7, 9, 11}, []int{8, 12, 12}, []int{8, 3, 4}},
	{[]int{8, 8, 8}, []int{4, 4, 4}, []int{4, 4, 4}},
	{[]int{5, 6, 7}, nil, []int{2, 2, 2}},
	{[]int{5, 6, 7}, []int{3, 3, 3}, nil},
	{[]int{5, 6, 7}, nil, nil},
	{[]int{1}, nil, nil},
	{[]int{1000}, []int{64}, []int{16}},
	{[]int{0, 3}, nil, nil},
	{[]int{3, 0, 4}, []int{2, 2, 2}, []int{1, 1, 1}},
	{[]int{}, nil, nil},
	{[]int{2, 3, 4, 5}, []int{2, 2, 2, 2}, []int{1, 2, 1, 2}},
	{[]int{3, 3}, []int{100, 100}, []int{50, 50}},
}

func TestRoundTrip(t *testing.T) {
	for _, g := range grids {
		t.Run(fmt.Sprint(g), func(t *testing.T) {
			roundTrip[float32](t, Meta{Shape: g.shape, Shard: g.shard, Chunk: g.chunk})
			roundTrip[int16](t, Meta{Shape: g.shape, Shard: g.shard, Chunk: g.chunk, DType: Int16})
			roundTrip[uint8](t, Meta{Shape: g.shape, Shard: g.shard, Chunk: g.chunk})
			roundTrip[int32](t, Meta{Shape: g.shape, Shard: g.shard, Chunk: g.chunk})
			roundTrip[int64](t, Meta{Shape: g.shape, Shard: g.shard, Chunk: g.chunk})
		})
	}
}

func roundTrip[T Element](t *testing.T, m Meta) {
	t.Helper()
	st := memStore(t)
	want := voxels[T](product(m.Shape))
	if err := Create(t.Context(), st, "case.zarr/image", m, want); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), st, "case.zarr/image")
	if err != nil {
		t.Fatal(err)
	}
	if a.Meta.DType != dtypeOf[T]() || !slices.Equal(a.Meta.Shape, m.Shape) {
		t.Fatalf("opened %+v", a.Meta)
	}
	checkBoxes(t, a, want)
}

// checkBoxes reads the whole array and random boxes of it, and compares them with the elements picked one by one.
func checkBoxes[T Element](t *testing.T, a *Array, whole []T) {
	t.Helper()
	shape := a.Meta.Shape
	r := rand.New(rand.NewPCG(3, 4))
	lo, hi := make([]int, len(shape)), slices.Clone(shape)
	for range 30 {
		var want []T
		for at := range boxes(lo, hi) {
			i := 0
			for axis, x := range at {
				i = i*shape[axis] + x
			}
			want = append(want, whole[i])
		}
		got := make([]T, len(want))
		for i := range got {
			got[i] = 77
		}
		if err := ReadBox(t.Context(), a, lo, hi, got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("box %v to %v of %v differs", lo, hi, shape)
		}
		for i, n := range shape {
			lo[i] = r.IntN(n + 1)
			hi[i] = lo[i] + r.IntN(n+1-lo[i])
		}
	}
}

func TestMetaSurvives(t *testing.T) {
	st := memStore(t)
	want := Meta{
		Shape: []int{4, 5, 6}, Shard: []int{4, 6, 6}, Chunk: []int{2, 3, 3}, DType: Int16,
		Attributes:     map[string]any{"spacing": []any{2.5, 0.8, 0.8}, "case": "FLARE22_0001", "nested": map[string]any{"x": nil}},
		DimensionNames: []string{"z", "", "x"},
	}
	if err := Create(t.Context(), st, "a", want, make([]int16, 120)); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), st, "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, a.Meta); diff != "" {
		t.Error(diff)
	}
	infos, err := st.List(t.Context(), "a/c/")
	if err != nil || len(infos) != 1 || infos[0].Size != 8*16+4 {
		t.Errorf("a shard of fill value only should hold its index alone: %v, %v", infos, err)
	}
}

func TestGroup(t *testing.T) {
	st := memStore(t)
	want := map[string]any{"crop": []any{1.0, 2.0}, "version": 1.0}
	if err := CreateGroup(t.Context(), st, "case.zarr", want); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), st, "case.zarr/labels", Meta{Shape: []int{2}}, []uint8{1, 2}); err != nil {
		t.Fatal(err)
	}
	got, err := OpenGroup(t.Context(), st, "case.zarr")
	if err != nil || cmp.Diff(want, got) != "" {
		t.Error(got, err)
	}
	if _, err := OpenGroup(t.Context(), st, "case.zarr/labels"); !errors.Is(err, ErrMalformed) {
		t.Errorf("an array as a group: %v", err)
	}
	if _, err := Open(t.Context(), st, "case.zarr"); !errors.Is(err, ErrMalformed) {
		t.Errorf("a group as an array: %v", err)
	}
	if _, err := OpenGroup(t.Context(), st, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing group: %v", err)
	}
	if err := CreateGroup(t.Context(), st, "nan", map[string]any{"x": math.NaN()}); err == nil {
		t.Error("JSON took a NaN")
	}
	if err := CreateGroup(t.Context(), st, "../out", nil); !errors.Is(err, store.ErrKey) {
		t.Errorf("a group outside the store: %v", err)
	}
}

// The payload of a NaN and the sign of a zero are part of the data.
func TestFloatBits(t *testing.T) {
	st := memStore(t)
	want := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), math.Float32frombits(0x7fc12345), 0, 0}
	if err := Create(t.Context(), st, "a", Meta{Shape: []int{6}, Chunk: []int{1}}, want); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), st, "a")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 6)
	if err := ReadBox(t.Context(), a, []int{0}, []int{6}, got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(bytesOf(got), bytesOf(want)) {
		t.Errorf("%x, want %x", bytesOf(got), bytesOf(want))
	}
}

func TestCreateRefuses(t *testing.T) {
	st := memStore(t)
	for name, m := range map[string]Meta{
		"elements":        {Shape: []int{5}},
		"type":            {Shape: []int{4}, DType: Uint8},
		"negative shape":  {Shape: []int{-4, -1}},
		"overflow":        {Shape: []int{1 << 32, 1 << 32}},
		"large":           {Shape: []int{MaxBytes}},
		"zero chunk":      {Shape: []int{4}, Chunk: []int{0}},
		"huge chunk":      {Shape: []int{4}, Chunk: []int{math.MaxInt}},
		"multiple":        {Shape: []int{4}, Shard: []int{4}, Chunk: []int{3}},
		"rank of chunk":   {Shape: []int{4}, Shard: []int{4}, Chunk: []int{2, 2}},
		"rank of shard":   {Shape: []int{4}, Shard: []int{4, 4}, Chunk: []int{2}},
		"names":           {Shape: []int{4}, DimensionNames: []string{"a", "b"}},
		"unencodable":     {Shape: []int{4}, Attributes: map[string]any{"f": func() {}}},
		"too many chunks": {Shape: []int{4}, Shard: []int{1 << 21}, Chunk: []int{1}},
		"rank":            {Shape: slices.Repeat([]int{1}, maxRank+1)},
	} {
		if err := Create(t.Context(), st, "a", m, make([]float32, 4)); err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "zarr: create a: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if infos, _ := st.List(t.Context(), ""); len(infos) != 0 {
		t.Errorf("refused arrays left %v", infos)
	}
}

func TestReadBoxRefuses(t *testing.T) {
	st := memStore(t)
	if err := Create(t.Context(), st, "a", Meta{Shape: []int{4, 4}}, make([]int16, 16)); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), st, "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range [][2][]int{
		{{0, 0}, {5, 4}}, {{-1, 0}, {4, 4}}, {{2, 0}, {1, 4}}, {{0}, {4}}, {{0, 0}, {2, 2}}, {{0, 0, 0}, {4, 4, 1}}, {nil, nil},
	} {
		if err := ReadBox(t.Context(), a, box[0], box[1], make([]int16, 16)); err == nil {
			t.Errorf("box %v was read", box)
		}
	}
	if err := ReadBox(t.Context(), a, []int{0, 0}, []int{4, 4}, make([]uint8, 16)); err == nil {
		t.Error("int16 was read as uint8")
	}
}

// A run that is killed while it replaces an array must not leave one that mixes old and new.
func TestInterruptedCreate(t *testing.T) {
	st := memStore(t)
	m := Meta{Shape: []int{8}, Shard: []int{2}, Chunk: []int{1}}
	for _, op := range []string{"create", "write", "commit"} {
		for n := range 5 {
			if err := Create(t.Context(), st, "a", m, []uint8{1, 1, 1, 1, 1, 1, 1, 1}); err != nil {
				t.Fatal(err)
			}
			full := errors.New("disk full")
			seen := 0
			faulty := store.WithFault(st, func(o, key string) error {
				if o == op {
					seen++
				}
				if seen > n {
					return full
				}
				return nil
			})
			err := Create(t.Context(), faulty, "a", m, []uint8{2, 2, 2, 2, 0, 0, 0, 0})
			if !errors.Is(err, full) {
				t.Fatalf("%s %d: %v", op, n, err)
			}
			if _, err := Open(t.Context(), st, "a"); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("after a fault at %s %d the array is there: %v", op, n, err)
			}
		}
	}
	want := []uint8{2, 2, 2, 2, 0, 0, 0, 0}
	if err := Create(t.Context(), st, "a", m, want); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), st, "a")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]uint8, 8)
	if err := ReadBox(t.Context(), a, []int{0}, []int{8}, got); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v: old shards show through", got, err)
	}
}

func TestSameBytesAtAnyParallelism(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	m := Meta{Shape: []int{40, 40, 40}, Shard: []int{40, 40, 20}, Chunk: []int{10, 20, 5}}
	data := voxels[float32](40 * 40 * 40)
	var first map[string]string
	for _, procs := range []int{1, 2, 8, 3, 1} {
		runtime.GOMAXPROCS(procs)
		st := memStore(t)
		if err := Create(t.Context(), st, "a", m, data); err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		infos, _ := st.List(t.Context(), "")
		for _, info := range infos {
			b, err := st.Read(t.Context(), info.Key)
			if err != nil {
				t.Fatal(err)
			}
			all[info.Key] = string(b)
		}
		if first == nil {
			first = all
		}
		if len(all) != 3 || !cmp.Equal(first, all) {
			t.Errorf("%d processors write other bytes", procs)
		}
	}
}

// countingStore counts reads, to hold ReadBox to its promise.
func countingStore(st *store.Store) (*store.Store, func() map[string]int) {
	var mu sync.Mutex
	reads := map[string]int{}
	counted := store.WithFault(st, func(op, key string) error {
		mu.Lock()
		defer mu.Unlock()
		reads[op+" "+key]++
		return nil
	})
	return counted, func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		r := reads
		reads = map[string]int{}
		return r
	}
}

func TestReadBoxReadsOnlyWhatItNeeds(t *testing.T) {
	st, reads := countingStore(memStore(t))
	data := make([]uint8, 64)
	for i := range data {
		data[i] = uint8(i + 1)
	}
	if err := Create(t.Context(), st, "a", Meta{Shape: []int{8, 8}, Shard: []int{4, 8}, Chunk: []int{2, 2}}, data); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), st, "a")
	if err != nil {
		t.Fatal(err)
	}
	reads()
	box := func() {
		if err := ReadBox(t.Context(), a, []int{1, 1}, []int{3, 3}, make([]uint8, 4)); err != nil {
			t.Fatal(err)
		}
	}
	box()
	if diff := cmp.Diff(map[string]int{"stat a/c/0/0": 1, "read a/c/0/0": 5}, reads()); diff != "" {
		t.Errorf("an index and four chunks: %s", diff)
	}
	box()
	if diff := cmp.Diff(map[string]int{"read a/c/0/0": 4}, reads()); diff != "" {
		t.Errorf("the index is known: %s", diff)
	}
}

func TestConcurrentReads(t *testing.T) {
	st := memStore(t)
	data := voxels[int32](32 * 32 * 32)
	if err := Create(t.Context(), st, "a", Meta{Shape: []int{32, 32, 32}, Shard: []int{16, 16, 32}, Chunk: []int{8, 8, 8}}, data); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), st, "a")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got := make([]int32, len(data))
			if err := ReadBox(t.Context(), a, []int{0, 0, 0}, []int{32, 32, 32}, got); err != nil || !slices.Equal(got, data) {
				t.Error("differs", err)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ReadBox(ctx, a, []int{0, 0, 0}, []int{32, 32, 32}, make([]int32, len(data))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
