package safetensors

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What decodes can be written and is then the same; what does not decode says which kind of error it is.
func FuzzDecode(f *testing.F) {
	seed, err := Encode(&File{Tensors: map[string]Tensor{"a": {Shape: []int{2, 1}, Data: []float32{1, 2}}, "b": {Data: []float32{3}}}, Metadata: map[string]string{"k": "v"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	for _, dtype := range []string{"U8", "I8", "I16", "F16", "BF16", "I32", "F64", "I64"} {
		f.Add(file(`{"a":{"dtype":"`+dtype+`","shape":[],"data_offsets":[0,`+string(rune('0'+width(dtype)))+`]}}`, make([]byte, width(dtype))...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		got, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("error without a type: %v", err)
			}
			return
		}
		again, err := Encode(got)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, second, cmpopts.EquateNaNs()); diff != "" {
			t.Error(diff)
		}
	})
}
