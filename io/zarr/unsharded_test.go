package zarr

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func pack(t testing.TB, c codec, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	switch c {
	case codecGzip:
		z := gzip.NewWriter(&b)
		z.Write(data)
		z.Close()
		return b.Bytes()
	case codecCRC32C:
		return appendChecksum(slices.Clone(data))
	}
	z, err := zstd.NewWriter(&b) // a stream: no content size in the frame
	if err != nil {
		t.Fatal(err)
	}
	z.Write(data)
	z.Close()
	return b.Bytes()
}

func TestUnsharded(t *testing.T) {
	tests := []struct {
		name, old, new string
		key            string
		packers        []codec
		big            bool
	}{
		{name: "plain"},
		{name: "big endian", old: `"little"`, new: `"big"`, big: true},
		{name: "zstd", old: `"little"}}]`, new: `"little"}},{"name":"zstd","configuration":{"level":0,"checksum":false}}]`, packers: []codec{codecZstd}},
		{name: "gzip", old: `"little"}}]`, new: `"little"}},{"name":"gzip","configuration":{"level":5}}]`, packers: []codec{codecGzip}},
		{name: "crc32c", old: `"little"}}]`, new: `"little"}},"crc32c"]`, packers: []codec{codecCRC32C}},
		{name: "zstd, then crc32c", old: `"little"}}]`, new: `"little"}},"zstd","crc32c"]`, packers: []codec{codecZstd, codecCRC32C}},
		{name: "gzip, then zstd", old: `"little"}}]`, new: `"little"}},"gzip","zstd"]`, packers: []codec{codecGzip, codecZstd}},
		{name: "v2 keys", old: `"default","configuration":{"separator":"/"}`, new: `"v2"`, key: "1.1"},
		{name: "dots", old: `{"separator":"/"}`, new: `{"separator":"."}`, key: "c.1.1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			st := memStore(t)
			data := bytesOf([]int16{-1, 2, 300, 4, -500, 600})
			if test.big {
				data = slices.Clone(data)
				swap(data, 2)
			}
			for _, c := range test.packers {
				data = pack(t, c, data)
			}
			key := "a/c/1/1"
			if test.key != "" {
				key = "a/" + test.key
			}
			text := strings.Replace(strings.Replace(plain, test.old, test.new, 1), `"fill_value":0`, `"fill_value":9`, 1)
			for key, data := range map[string][]byte{"a/zarr.json": []byte(text), key: data} {
				if err := st.Write(t.Context(), key, data); err != nil {
					t.Fatal(err)
				}
			}
			a, err := Open(t.Context(), st, "a")
			if err != nil {
				t.Fatal(err)
			}
			got := make([]int16, 24)
			if err := ReadBox(t.Context(), a, []int{0, 0}, []int{4, 6}, got); err != nil {
				t.Fatal(err)
			}
			want := []int16{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, -1, 2, 300, 9, 9, 9, 4, -500, 600}
			if !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}
