package zarr

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"noisystudent/io/store"
)

// typed fails a test for an error that a caller could not tell apart.
func typed(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
		t.Errorf("error without a type: %v", err)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte(sharded))
	f.Add([]byte(strings.Replace(plain, "int16", "float32", 1)))
	m, _ := Meta{Shape: []int{3, 0, 70000}, DimensionNames: []string{"z", "", "x"}}.withDefaults(Float32)
	text, err := encodeMeta(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		m, l, err := parseArray(data)
		typed(t, err)
		if err != nil {
			return
		}
		if n := product(m.Shape) * l.width; n < 0 || n > MaxBytes || len(l.fill) != l.width {
			t.Fatalf("%+v of %d bytes, fill %x", m, n, l.fill)
		}
		if n := l.chunkBytes(); n <= 0 || n > MaxChunkBytes || product(l.chunks) <= 0 || product(l.chunks) > maxIndexEntries {
			t.Fatalf("%+v: chunks of %d bytes, %d in an object", m, n, product(l.chunks))
		}
		readCorner(t, m, l)
	})
}

// readCorner reads the last elements of an array of which no chunk is stored.
func readCorner(t *testing.T, m Meta, l layout) {
	st, err := store.Open(t.Context(), "mem://empty")
	if err != nil {
		t.Fatal(err)
	}
	a := &Array{Meta: m, store: st, prefix: "none", layout: l}
	lo := make([]int, len(m.Shape))
	n := 1
	for i, s := range m.Shape {
		lo[i] = max(s-2, 0)
		n *= s - lo[i]
	}
	switch m.DType {
	case Float32:
		err = ReadBox(t.Context(), a, lo, m.Shape, make([]float32, n))
	case Int16:
		err = ReadBox(t.Context(), a, lo, m.Shape, make([]int16, n))
	case Uint8:
		err = ReadBox(t.Context(), a, lo, m.Shape, make([]uint8, n))
	case Int32:
		err = ReadBox(t.Context(), a, lo, m.Shape, make([]int32, n))
	case Int64:
		err = ReadBox(t.Context(), a, lo, m.Shape, make([]int64, n))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzShardIndex(f *testing.F) {
	f.Add(encodeIndex([]span{{0, 12}, {missing, missing}, {12, 20}, {32, 1}}), int64(101))
	f.Add(encodeIndex([]span{{1<<64 - 4, 12}, {5, 1<<64 - 4}, {missing, 3}, {0, missing}}), int64(1<<62))
	f.Add([]byte{}, int64(0))
	l := layout{chunk: []int{4}, grid: []int{16}, chunks: []int{4}, width: 4, sharded: true}
	f.Fuzz(func(t *testing.T, data []byte, shardBytes int64) {
		if len(data) > 1<<10 || shardBytes < 0 {
			return
		}
		l.index.checksum = len(data)%16 == 4
		if l.index.checksum { // a fuzzer does not find checksums
			data = appendChecksum(data[:len(data)-4])
		}
		spans, err := l.decodeIndex(data, shardBytes)
		typed(t, err)
		for _, s := range spans {
			if s != (span{missing, missing}) && (s.offset+s.bytes < s.offset || s.offset+s.bytes > uint64(shardBytes)) {
				t.Errorf("%+v in a shard of %d bytes", s, shardBytes)
			}
		}
	})
}

func FuzzShard(f *testing.F) {
	st, err := store.Open(f.Context(), "mem://fuzzed")
	if err != nil {
		f.Fatal(err)
	}
	m := Meta{Shape: []int{4, 6}, Shard: []int{4, 6}, Chunk: []int{2, 3}}
	if err := Create(f.Context(), st, "seed", m, voxels[int16](24)); err != nil {
		f.Fatal(err)
	}
	shard, err := st.Read(f.Context(), "seed/c/0/0")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shard[:len(shard)-4])
	f.Add(make([]byte, 64))
	meta, err := st.Read(f.Context(), "seed/zarr.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			return
		}
		if n := len(data); n >= 64 { // the index is the last 64 bytes; its checksum is made to hold
			data = append(data[:n-64:n-64], appendChecksum(slices.Clone(data[n-64:]))...)
		}
		st, err := store.Open(t.Context(), "mem://fuzz-shard")
		if err != nil {
			t.Fatal(err)
		}
		for key, data := range map[string][]byte{"a/zarr.json": meta, "a/c/0/0": data} {
			if err := st.Write(t.Context(), key, data); err != nil {
				t.Fatal(err)
			}
		}
		a, err := Open(t.Context(), st, "a")
		if err != nil {
			t.Fatal(err)
		}
		typed(t, ReadBox(t.Context(), a, []int{0, 0}, []int{4, 6}, make([]int16, 24)))
	})
}
