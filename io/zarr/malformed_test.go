package zarr

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// plain is the smallest metadata that Open accepts; tests replace parts of it.
const plain = `{"zarr_format":3,"node_type":"array","shape":[4,6],"data_type":"int16",
"chunk_grid":{"name":"regular","configuration":{"chunk_shape":[2,3]}},
"chunk_key_encoding":{"name":"default","configuration":{"separator":"/"}},
"fill_value":0,"codecs":[{"name":"bytes","configuration":{"endian":"little"}}],
"attributes":{},"storage_transformers":[]}`

const sharded = `{"zarr_format":3,"node_type":"array","shape":[4,6],"data_type":"int16",
"chunk_grid":{"name":"regular","configuration":{"chunk_shape":[4,6]}},"chunk_key_encoding":"default","fill_value":-1,
"codecs":[{"name":"sharding_indexed","configuration":{"chunk_shape":[2,3],"codecs":[{"name":"bytes","configuration":{"endian":"little"}},"zstd"],
"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}],"index_location":"end"}}]}`

func TestMetadataRefused(t *testing.T) {
	tests := []struct {
		base, old, new string
		want           error
	}{
		{plain, plain, ``, ErrMalformed},
		{plain, plain, `[]`, ErrMalformed},
		{plain, plain, `null`, ErrUnsupported},
		{plain, `"storage_transformers":[]}`, `"storage_transformers":[]`, ErrMalformed},
		{plain, `"zarr_format":3`, `"zarr_format":2`, ErrUnsupported},
		{plain, `"node_type":"array"`, `"node_type":"group"`, ErrMalformed},
		{plain, `[4,6]`, `[4,-6]`, ErrMalformed},
		{plain, `[4,6]`, `[4]`, ErrMalformed},
		{plain, `[4,6]`, `[4,6.5]`, ErrMalformed},
		{plain, `[4,6]`, `null`, ErrMalformed},
		{plain, `[4,6]`, `[4,"6"]`, ErrMalformed},
		{plain, `[4,6]`, `[4,99999999999999999999]`, ErrMalformed},
		{plain, `[4,6]`, `[4294967296,4294967296]`, ErrUnsupported},
		{plain, `[4,6]`, `[0,9223372036854775807]`, ErrUnsupported},
		{plain, `[4,6]`, `[9223372036854775807,0]`, ErrUnsupported},
		{plain, `[4,6]`, `[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]`, ErrUnsupported},
		{plain, `[4,6]`, `[4,` + strings.Repeat("9", 1<<20) + `]`, ErrMalformed},
		{plain, `[4,6]`, `[4` + strings.Repeat(",6", 1<<20) + `]`, ErrUnsupported},
		{plain, `[2,3]`, `[2` + strings.Repeat(",3", 1<<20) + `]`, ErrUnsupported},
		{plain, `"int16"`, `"` + strings.Repeat("x", 1<<20) + `"`, ErrUnsupported},
		{plain, `[2,3]`, `[0,3]`, ErrMalformed},
		{plain, `[2,3]`, `[-2,-3]`, ErrMalformed},
		{plain, `[2,3]`, `[2]`, ErrMalformed},
		{plain, `[2,3]`, `[65536,65536]`, ErrUnsupported},
		{plain, `[2,3]`, `[9223372036854775807,3]`, ErrUnsupported},
		{plain, `"chunk_shape"`, `"chunkshape"`, ErrMalformed},
		{plain, `"regular"`, `"rectangular"`, ErrUnsupported},
		{plain, `"int16"`, `"uint16"`, ErrUnsupported},
		{plain, `"int16"`, `"float64"`, ErrUnsupported},
		{plain, `"int16"`, `{"name":"int16"}`, ErrUnsupported},
		{plain, `"default"`, `"v4"`, ErrUnsupported},
		{plain, `"separator":"/"`, `"separator":"/../"`, ErrMalformed},
		{plain, `"fill_value":0`, `"fill_value":1.5`, ErrMalformed},
		{plain, `"fill_value":0`, `"fill_value":40000`, ErrMalformed},
		{plain, `"fill_value":0`, `"fill_value":"0"`, ErrMalformed},
		{plain, `"fill_value":0`, `"fill_value":null`, ErrMalformed},
		{plain, `"fill_value":0,`, ``, ErrMalformed},
		{plain, `"little"`, `"middle"`, ErrMalformed},
		{plain, `,"configuration":{"endian":"little"}`, ``, ErrMalformed},
		{plain, `"bytes"`, `"vlen-utf8"`, ErrUnsupported},
		{plain, `"codecs":[`, `"codecs":["transpose",`, ErrUnsupported},
		{plain, `"codecs":[`, `"codecs":["zstd",`, ErrMalformed},
		{plain, `"little"}}]`, `"little"}},"blosc"]`, ErrUnsupported},
		{plain, `"little"}}]`, `"little"}},"bytes"]`, ErrMalformed},
		{plain, `"little"}}]`, `"little"}},"gzip","gzip","gzip","gzip","gzip","gzip","gzip","gzip"]`, ErrMalformed},
		{plain, `{"name":"bytes","configuration":{"endian":"little"}}`, ``, ErrMalformed},
		{plain, `"storage_transformers":[]`, `"storage_transformers":["x"]`, ErrUnsupported},
		{plain, `"attributes":{}`, `"attributes":[]`, ErrMalformed},
		{plain, `"attributes":{}`, `"dimension_names":["z"]`, ErrMalformed},
		{plain, `"attributes":{}`, `"dimension_names":["z",7]`, ErrMalformed},
		{plain, `"attributes":{}`, `"new":{}`, ErrUnsupported},
		{plain, `"attributes":{}`, `"new":{"must_understand":true}`, ErrUnsupported},
		{sharded, `[2,3]`, `[3,3]`, ErrMalformed},
		{sharded, `[2,3]`, `[2,0]`, ErrMalformed},
		{sharded, `[2,3]`, `[2]`, ErrMalformed},
		{sharded, `"chunk_shape":[2,3],`, ``, ErrMalformed},
		{sharded, `"chunk_shape":[4,6]`, `"chunk_shape":[4,6,1]`, ErrMalformed},
		{sharded, `"chunk_shape":[4,6]`, `"chunk_shape":[4` + strings.Repeat(",6", 1<<20) + `]`, ErrUnsupported},
		{sharded, `"chunk_shape":[4,6]`, `"chunk_shape":[4294967296,4294967295]`, ErrUnsupported},
		{sharded, `"chunk_shape":[4,6]`, `"chunk_shape":[20000,30000]`, ErrUnsupported},
		{sharded, `{"name":"crc32c"}`, `"zstd"`, ErrUnsupported},
		{sharded, `"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}}`, `"index_codecs":[{"name":"bytes","configuration":{"endian":"big"}}`, ErrUnsupported},
		{sharded, `"end"`, `"middle"`, ErrMalformed},
		{sharded, `"index_location"`, `"other"`, ErrMalformed},
		{sharded, `}}]}`, `}},"gzip"]}`, ErrUnsupported},
		{sharded, `"codecs":[{"name":"bytes","configuration":{"endian":"little"}},"zstd"]`, `"codecs":["sharding_indexed"]`, ErrUnsupported},
	}
	for _, base := range []string{plain, sharded} {
		if _, _, err := parseArray([]byte(base)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range tests {
		text := strings.Replace(test.base, test.old, test.new, 1)
		if text == test.base {
			t.Fatalf("%s is not in the metadata", test.old)
		}
		_, _, err := parseArray([]byte(text))
		if !errors.Is(err, test.want) {
			t.Errorf("%.80s: error %v, want %v", test.new, err, test.want)
		}
		if len(fmt.Sprint(err)) > 1000 {
			t.Errorf("%.80s: an error of %d bytes", test.new, len(err.Error()))
		}
	}
}

func TestMetadataAccepted(t *testing.T) {
	for _, test := range [][2]string{
		{`"attributes":{}`, `"new":{"must_understand":false}`},
		{`"attributes":{}`, `"dimension_names":["z",null]`},
		{`{"name":"default","configuration":{"separator":"/"}}`, `"default"`},
		{`{"name":"default","configuration":{"separator":"/"}}`, `{"name":"v2"}`},
		{`"attributes":{},"storage_transformers":[]`, `"attributes":null`},
		{`[4,6]`, `[0,6]`},
		{`"little"`, `"big"`},
	} {
		if _, _, err := parseArray([]byte(strings.Replace(plain, test[0], test[1], 1))); err != nil {
			t.Errorf("%s: %v", test[1], err)
		}
	}
}

func TestFillValues(t *testing.T) {
	for _, test := range []struct {
		d     DType
		value string
		want  string // bytes, or empty for malformed
	}{
		{Float32, `0.0`, "\x00\x00\x00\x00"},
		{Float32, `-0.0`, "\x00\x00\x00\x80"},
		{Float32, `1`, "\x00\x00\x80\x3f"},
		{Float32, `"NaN"`, "\x00\x00\xc0\x7f"},
		{Float32, `"Infinity"`, "\x00\x00\x80\x7f"},
		{Float32, `"-Infinity"`, "\x00\x00\x80\xff"},
		{Float32, `"0x7fc12345"`, "\x45\x23\xc1\x7f"},
		{Float32, `"nan"`, ""},
		{Float32, `"0x7fc123"`, ""},
		{Float32, `"7fc12345"`, ""},
		{Float32, `1e99`, ""},
		{Float32, `true`, ""},
		{Float32, `null`, ""},
		{Int16, `-2`, "\xfe\xff"},
		{Int16, `32768`, ""},
		{Uint8, `255`, "\xff"},
		{Uint8, `256`, ""},
		{Uint8, `-1`, ""},
		{Int32, `-2147483648`, "\x00\x00\x00\x80"},
		{Int64, `9223372036854775807`, "\xff\xff\xff\xff\xff\xff\xff\x7f"},
		{Int64, `9223372036854775808`, ""},
	} {
		got, err := parseFill(json.RawMessage(test.value), test.d)
		if test.want == "" && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s %s: %x, error %v", test.d, test.value, got, err)
		}
		if test.want != "" && (err != nil || string(got) != test.want) {
			t.Errorf("%s %s: %x, %v, want %x", test.d, test.value, got, err, test.want)
		}
	}
}

func TestShardRefused(t *testing.T) {
	st := memStore(t)
	want := voxels[int16](24)
	m := Meta{Shape: []int{4, 6}, Shard: []int{4, 6}, Chunk: []int{2, 3}}
	if err := Create(t.Context(), st, "a", m, want); err != nil {
		t.Fatal(err)
	}
	good, err := st.Read(t.Context(), "a/c/0/0")
	if err != nil {
		t.Fatal(err)
	}
	end := len(good) - 4
	index := end - 4*16
	resum := func(b []byte) []byte { return appendChecksum(b[:end]) }
	for name, damage := range map[string]func(b []byte) []byte{
		"empty":            func(b []byte) []byte { return nil },
		"truncated":        func(b []byte) []byte { return b[:len(b)-1] },
		"index alone":      func(b []byte) []byte { return b[index:] },
		"checksum":         func(b []byte) []byte { b[end]++; return b },
		"index bit":        func(b []byte) []byte { b[index] ^= 1; return b },
		"data bit":         func(b []byte) []byte { b[index-1] ^= 1; return b },
		"offset past end":  func(b []byte) []byte { binary.LittleEndian.PutUint64(b[index:], uint64(len(b))); return resum(b) },
		"offset overflows": func(b []byte) []byte { binary.LittleEndian.PutUint64(b[index:], 1<<64-4); return resum(b) },
		"length past end":  func(b []byte) []byte { binary.LittleEndian.PutUint64(b[index+8:], uint64(len(b))); return resum(b) },
		"length overflows": func(b []byte) []byte { binary.LittleEndian.PutUint64(b[index+8:], 1<<64-4); return resum(b) },
		"half missing":     func(b []byte) []byte { binary.LittleEndian.PutUint64(b[index:], missing); return resum(b) },
		"no bytes":         func(b []byte) []byte { binary.LittleEndian.PutUint64(b[index+8:], 0); return resum(b) },
		"swapped halves":   func(b []byte) []byte { binary.LittleEndian.PutUint64(b[index+16:], 0); return resum(b) },
	} {
		if err := st.Write(t.Context(), "a/c/0/0", damage(append([]byte(nil), good...))); err != nil {
			t.Fatal(err)
		}
		a, err := Open(t.Context(), st, "a")
		if err != nil {
			t.Fatal(err)
		}
		if err := ReadBox(t.Context(), a, []int{0, 0}, []int{4, 6}, make([]int16, 24)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want malformed", name, err)
		}
	}
}

// A chunk must unpack to its size: not less, and never to more, which could be far more.
func TestChunkSize(t *testing.T) {
	for _, c := range []codec{codecZstd, codecGzip} {
		for _, n := range []int{0, 1, 11, 12, 13, 1 << 20} {
			st := memStore(t)
			text := strings.Replace(plain, `"little"}}]`, `"little"}},"`+string(c)+`"]`, 1)
			for key, data := range map[string][]byte{"a/zarr.json": []byte(text), "a/c/0/0": pack(t, c, make([]byte, n))} {
				if err := st.Write(t.Context(), key, data); err != nil {
					t.Fatal(err)
				}
			}
			a, err := Open(t.Context(), st, "a")
			if err != nil {
				t.Fatal(err)
			}
			err = ReadBox(t.Context(), a, []int{0, 0}, []int{2, 3}, make([]int16, 6))
			if (err == nil) != (n == 12) || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%s of %d bytes for a chunk of 12: %v", c, n, err)
			}
		}
	}
}

func TestErrorsNameTheChunk(t *testing.T) {
	st := memStore(t)
	for key, data := range map[string]string{"case0042.zarr/image/zarr.json": plain, "case0042.zarr/image/c/1/1": "short"} {
		if err := st.Write(t.Context(), key, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	a, err := Open(t.Context(), st, "case0042.zarr/image")
	if err != nil {
		t.Fatal(err)
	}
	err = ReadBox(t.Context(), a, []int{2, 3}, []int{4, 6}, make([]int16, 6))
	if want := "zarr: read chunk [1 1] of case0042.zarr/image: malformed zarr: chunk of 5 bytes, want 12"; fmt.Sprint(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}
