package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// Encode writes a whole file: F32, tensors and metadata in the order of their names, the header padded with spaces so that
// the data begins at a multiple of eight bytes.
func Encode(f *File) ([]byte, error) {
	names := slices.Sorted(maps.Keys(f.Tensors))
	header, size, err := encodeHeader(f, names)
	if err != nil {
		return nil, fmt.Errorf("safetensors: encode: %w", err)
	}
	out := make([]byte, 0, 8+len(header)+size)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(header)))
	out = append(out, header...)
	for _, name := range names {
		for _, v := range f.Tensors[name].Data {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	return out, nil
}

// encodeHeader returns the header and the size of the data.
func encodeHeader(f *File, names []string) ([]byte, int, error) {
	b := bytes.NewBufferString("{")
	if f.Metadata != nil {
		for k, v := range f.Metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, 0, fmt.Errorf("metadata %.100q is not UTF-8", k)
			}
		}
		fmt.Fprintf(b, "%s:%s,", text(metadataName), text(f.Metadata))
	}
	size := 0
	for _, name := range names {
		t := f.Tensors[name]
		if err := checkTensor(name, t); err != nil {
			return nil, 0, err
		}
		end := size + 4*len(t.Data)
		fmt.Fprintf(b, `%s:{"dtype":"F32","shape":%s,"data_offsets":[%d,%d]},`, text(name), text(append([]int{}, t.Shape...)), size, end)
		size = end
	}
	header := append(bytes.TrimSuffix(b.Bytes(), []byte(",")), '}')
	for len(header)%8 != 0 {
		header = append(header, ' ')
	}
	if len(header) > maxHeaderBytes {
		return nil, 0, fmt.Errorf("a header of %d bytes, the format's limit is %d", len(header), maxHeaderBytes)
	}
	return header, size, nil
}

func checkTensor(name string, t Tensor) error {
	if name == metadataName || !utf8.ValidString(name) {
		return fmt.Errorf("%.100q cannot name a tensor", name)
	}
	elements, ok := count(t.Shape)
	if !ok || len(t.Shape) > maxRank || elements != int64(len(t.Data)) {
		return fmt.Errorf("tensor %.100q: %d elements for shape %v", name, len(t.Data), t.Shape)
	}
	return nil
}

// text is JSON of texts and integers, which always can be written. Maps come sorted.
func text(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
