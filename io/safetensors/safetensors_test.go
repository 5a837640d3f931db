package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// file puts a header, without padding, before data.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestRoundTrip(t *testing.T) {
	for _, want := range []*File{
		{Tensors: map[string]Tensor{}},
		{Tensors: map[string]Tensor{}, Metadata: map[string]string{}},
		{
			Tensors: map[string]Tensor{
				"encoder.stages.0.0.convs.0.conv.weight": {Shape: []int{2, 1, 1, 3, 3}, Data: make([]float32, 18)},
				"scalar":                                 {Shape: []int{}, Data: []float32{-1.5}},
				"empty":                                  {Shape: []int{3, 0}, Data: []float32{}},
				`"quoted" <&> é`:                         {Shape: []int{2}, Data: []float32{float32(math.Inf(-1)), math.SmallestNonzeroFloat32}},
			},
			Metadata: map[string]string{"format": "pt", "epoch": "7", "<": "&"},
		},
	} {
		data, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if n := binary.LittleEndian.Uint64(data); n%8 != 0 {
			t.Errorf("header of %d bytes: the data is not aligned", n)
		}
		got, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for range 5 {
			if again, _ := Encode(got); !bytes.Equal(again, data) {
				t.Fatal("equal files have other bytes")
			}
		}
	}
}

func TestLayoutOfTheBytes(t *testing.T) {
	got, err := Encode(&File{Tensors: map[string]Tensor{"b": {Shape: []int{2}, Data: []float32{1, 2}}, "a": {Data: []float32{3}}}, Metadata: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := file(header, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40)
	if !bytes.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDecodeRefused(t *testing.T) {
	const f32 = `{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	four := []byte{0, 0, 0, 0}
	long := file(`{}`)
	binary.LittleEndian.PutUint64(long, 1<<63)
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrMalformed},
		{"no header", make([]byte, 7), ErrMalformed},
		{"header of nothing", make([]byte, 8), ErrMalformed},
		{"header past the end", file(`{}`)[:9], ErrMalformed},
		{"header of 2^63", long, ErrMalformed},
		{"space first", file(` {}`), ErrMalformed},
		{"list", file(`[]`), ErrMalformed},
		{"cut JSON", file(`{"a":`), ErrMalformed},
		{"two values", file(`{}{}`), ErrMalformed},
		{"not UTF-8", file("{\"\xff\":1}"), ErrMalformed},
		{"deep", file(`{"a":` + strings.Repeat("[", 1<<20)), ErrMalformed},
		{"long text", file(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`), ErrMalformed},
		{"long number", file(`{"a":{"shape":[` + strings.Repeat("1", 1<<20) + `]}}`), ErrMalformed},
		{"tensor is text", file(`{"a":"b"}`), ErrMalformed},
		{"metadata is a number", file(`{"__metadata__":{"a":1}}`), ErrMalformed},
		{"metadata is text", file(`{"__metadata__":"a"}`), ErrMalformed},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`), ErrMalformed},
		{"same metadata twice", file(`{"__metadata__":{"a":"","a":""}}`), ErrMalformed},
		{"same name twice", file(`{"a":`+f32+`,"a":`+f32+`}`, four...), ErrMalformed},
		{"same name twice, escaped", file(`{"a":`+f32+`,"\u0061":`+f32+`}`, four...), ErrMalformed},
		{"same field twice", file(`{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"field in capitals", file(`{"a":{"DTYPE":"F32","shape":[1],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"no dtype", file(`{"a":{"shape":[1],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"no shape", file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"no offsets", file(`{"a":{"dtype":"F32","shape":[1]}}`, four...), ErrMalformed},
		{"one offset", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4]}}`, four...), ErrMalformed},
		{"three offsets", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}`, four...), ErrMalformed},
		{"backwards", file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[4,0]}}`, four...), ErrMalformed},
		{"negative offset", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, four...), ErrMalformed},
		{"fraction", file(`{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"exponent", file(`{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"text in shape", file(`{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"negative axis", file(`{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"axis above int64", file(`{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"product overflows to 0", file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`), ErrMalformed},
		{"product overflows to 1", file(`{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"shape too small", file(`{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"shape too large", file(`{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"half an element", file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,2]}}`, 0, 0), ErrMalformed},
		{"hole before", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}`, 0, 0, 0, 0, 0), ErrMalformed},
		{"hole between", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 0, 0, 0), ErrMalformed},
		{"hole after", file(`{"a":`+f32+`}`, 0, 0, 0, 0, 0), ErrMalformed},
		{"data without tensors", file(`{}`, 0), ErrMalformed},
		{"overlap", file(`{"a":`+f32+`,"b":`+f32+`}`, four...), ErrMalformed},
		{"past the end", file(`{"a":`+f32+`}`, 0, 0, 0), ErrMalformed},
		{"rank", file(`{"a":{"dtype":"F32","shape":[`+strings.Repeat("1,", maxRank)+`1],"data_offsets":[0,4]}}`, four...), ErrMalformed},
		{"unknown field", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, four...), ErrMalformed},
		{"dtype", file(`{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}`, four...), ErrUnsupported},
		{"dtype of nothing", file(`{"a":{"dtype":"BOOL","shape":[0],"data_offsets":[0,0]}}`), ErrUnsupported},
		{"I32 that float32 rounds", file(`{"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}`, 1, 0, 0, 1), ErrUnsupported},
	}
	for _, test := range tests {
		_, err := Decode(test.data)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", test.name, len(err.Error()))
		}
	}
}

// The limit holds before the header is looked for, so that a stream reader could ask it of eight bytes.
func TestHeaderLimit(t *testing.T) {
	data := binary.LittleEndian.AppendUint64(nil, maxHeaderBytes+1)
	if _, err := Decode(data); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "the limit is 100000000") {
		t.Error(err)
	}
}

func TestDecodeAccepts(t *testing.T) {
	for name, data := range map[string][]byte{
		"padding":           file(`{}     `),
		"tensors unsorted":  file(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, 2),
		"empty in between":  file(`{"c":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, 2),
		"other field order": file(`{"a":{"data_offsets":[0,1],"shape":[1,1],"dtype":"I8"}}`, 1),
		"spaces":            file(`{ "a" : { "dtype" : "U8" , "shape" : [ ] , "data_offsets" : [ 0 , 1 ] } } `, 1),
		"empty tensors":     file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]}}`),
	} {
		if _, err := Decode(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	huge := "\xff"
	if !testing.Short() { // writing it takes a second under the race detector
		huge = strings.Repeat("x", maxHeaderBytes)
	}
	one := []float32{1}
	for name, f := range map[string]*File{
		"elements":         {Tensors: map[string]Tensor{"a": {Shape: []int{2}, Data: one}}},
		"no elements":      {Tensors: map[string]Tensor{"a": {}}},
		"negative":         {Tensors: map[string]Tensor{"a": {Shape: []int{-1, -1}, Data: one}}},
		"overflow":         {Tensors: map[string]Tensor{"a": {Shape: []int{1 << 32, 1 << 32}}}},
		"rank":             {Tensors: map[string]Tensor{"a": {Shape: slices.Repeat([]int{1}, maxRank+1), Data: one}}},
		"reserved name":    {Tensors: map[string]Tensor{"__metadata__": {Data: one}}},
		"name not UTF-8":   {Tensors: map[string]Tensor{"\xff": {Data: one}}},
		"key not UTF-8":    {Metadata: map[string]string{"\xff": ""}},
		"value not UTF-8":  {Metadata: map[string]string{"a": "\xff"}},
		"header too large": {Metadata: map[string]string{"a": huge}},
	} {
		if _, err := Encode(f); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
