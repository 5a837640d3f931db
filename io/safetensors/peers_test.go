package safetensors

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// peer runs testdata/peer.py under the Python that has safetensors.
func peer(t *testing.T, args ...string) []byte {
	t.Helper()
	python := os.Getenv("NOISYSTUDENT_PYTHON")
	if python == "" {
		t.Skip("needs Python peers: set NOISYSTUDENT_PYTHON (testdata/peers/setup makes one)")
	}
	cmd := exec.Command(python, append([]string{"testdata/peer.py"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	return out
}

func TestPythonReadsOurs(t *testing.T) {
	f := &File{Tensors: map[string]Tensor{}, Metadata: map[string]string{"epoch": "7", "é": "<&>"}}
	for name, shape := range map[string][]int{"a.weight": {4, 3, 1, 3, 3}, "b": {7}, "scalar": {}, "empty": {0, 3}, "\"é\" <&>": {2, 2}} {
		n, _ := count(shape)
		data := make([]float32, n)
		for i := range data {
			data[i] = float32(math.Sin(float64(i)))
		}
		f.Tensors[name] = Tensor{Shape: shape, Data: data}
	}
	data, err := Encode(f)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ours.safetensors")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	type tensor struct {
		DType string
		Shape []int
		CRC   uint32
	}
	var got struct {
		Metadata map[string]string
		Tensors  map[string]tensor
	}
	if err := json.Unmarshal(peer(t, "read", path), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]tensor{}
	for name, w := range f.Tensors {
		one, err := Encode(&File{Tensors: map[string]Tensor{"": w}})
		if err != nil {
			t.Fatal(err)
		}
		want[name] = tensor{"float32", w.Shape, crc32.ChecksumIEEE(one[len(one)-4*len(w.Data):])}
	}
	if diff := cmp.Diff(want, got.Tensors); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(f.Metadata, got.Metadata); diff != "" {
		t.Error(diff)
	}
}

func TestWeReadPython(t *testing.T) {
	path := filepath.Join(t.TempDir(), "theirs.safetensors")
	peer(t, "write", path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"format": "np", "é": "ü"}, f.Metadata); diff != "" {
		t.Error(diff)
	}
	signed, unsigned := make([]float32, 60), make([]float32, 60)
	for i := range signed {
		signed[i], unsigned[i] = float32(i-30), float32(i)
	}
	for _, name := range []string{"float32", "float16", "float64", "int8", "int16", "int32", "int64", "uint8", "bfloat16"} {
		want := signed
		if name == "uint8" {
			want = unsigned
		}
		got := f.Tensors[name]
		if !slices.Equal(got.Shape, []int{3, 4, 5}) || !slices.Equal(got.Data, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if diff := cmp.Diff(Tensor{Shape: []int{}, Data: []float32{1.5}}, f.Tensors["scalar"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Tensor{Shape: []int{0, 3}, Data: []float32{}}, f.Tensors["empty"]); diff != "" {
		t.Error(diff)
	}
}
