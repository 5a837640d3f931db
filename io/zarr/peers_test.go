package zarr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"noisystudent/io/store"
)

// peer runs testdata/peer.py under the Python that has zarr-python, and returns its lines.
func peer(t *testing.T, args ...string) []string {
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
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// wave is the same in testdata/peer.py.
func wave[T Element](n int) []T {
	data := make([]T, n)
	for i := n / 4; i < n; i++ {
		data[i] = T(i*7919%251 - 100)
	}
	return data
}

type peerArray struct {
	Name                string
	Shape, Chunk, Shard []int
	DType               string
	Names               []*string
	Attributes          map[string]any
	CRC                 uint32
	Fill                float64
}

func TestZarrPythonReadsOurs(t *testing.T) {
	root := t.TempDir()
	st, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if err := CreateGroup(t.Context(), st, "", map[string]any{"case": "é"}); err != nil {
		t.Fatal(err)
	}
	var want []peerArray
	for i, g := range grids {
		m := Meta{Shape: g.shape, Shard: g.shard, Chunk: g.chunk, Attributes: map[string]any{"spacing": []any{2.5, 1.0}}}
		if len(g.shape) == 3 {
			m.DimensionNames = []string{"z", "", "x"}
		}
		want = append(want, written[float32](t, st, i, m), written[int16](t, st, i, m), written[uint8](t, st, i, m),
			written[int32](t, st, i, m), written[int64](t, st, i, m))
	}
	args := []string{"read", root}
	for _, w := range want {
		args = append(args, w.Name)
	}
	for i, line := range peer(t, args...) {
		var got peerArray
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[i], got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", want[i].Name, diff)
		}
	}
}

// written creates an array and says what zarr-python should find.
func written[T Element](t *testing.T, st *store.Store, i int, m Meta) peerArray {
	t.Helper()
	d := dtypeOf[T]()
	data := wave[T](product(m.Shape))
	name := fmt.Sprintf("%d-%s", i, d)
	if err := Create(t.Context(), st, name, m, data); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), st, name)
	if err != nil {
		t.Fatal(err)
	}
	p := peerArray{Name: name, Shape: m.Shape, Chunk: a.Meta.Chunk, Shard: a.Meta.Shard, DType: string(d), Attributes: m.Attributes, CRC: crc32.ChecksumIEEE(bytesOf(data))}
	for _, n := range m.DimensionNames {
		if n == "" {
			p.Names = append(p.Names, nil)
		} else {
			p.Names = append(p.Names, &n)
		}
	}
	return p
}

func TestWeReadZarrPython(t *testing.T) {
	root := t.TempDir()
	names := peer(t, "write", root)
	if len(names) != 17+2*5 {
		t.Fatalf("the peer wrote %d arrays", len(names))
	}
	st, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := OpenGroup(t.Context(), st, "")
	if err != nil || attributes["case"] != "é" {
		t.Errorf("group attributes %v, %v", attributes, err)
	}
	for _, name := range names {
		a, err := Open(t.Context(), st, name)
		if err != nil {
			t.Error(err)
			continue
		}
		if a.Meta.Attributes["dtype"] != string(a.Meta.DType) {
			t.Errorf("%s: %+v", name, a.Meta)
		}
		if strings.HasPrefix(name, "names") && !slices.Equal(a.Meta.DimensionNames, []string{"z", "y", ""}) {
			t.Errorf("%s: dimension names %q", name, a.Meta.DimensionNames)
		}
		if strings.HasPrefix(name, "shards") != (len(a.Meta.Shard) > 0) {
			t.Errorf("%s: shard %v", name, a.Meta.Shard)
		}
		switch a.Meta.DType {
		case Float32:
			checkBoxes(t, a, wave[float32](990))
		case Int16:
			checkBoxes(t, a, wave[int16](990))
		case Uint8:
			checkBoxes(t, a, wave[uint8](990))
		case Int32:
			checkBoxes(t, a, wave[int32](990))
		case Int64:
			checkBoxes(t, a, wave[int64](990))
		}
	}
	checkPeerFills(t, st)
}

// checkPeerFills reads arrays that were never written to.
func checkPeerFills(t *testing.T, st *store.Store) {
	for value, want := range map[string]float32{
		"scalar": 0, "fill inf": float32(math.Inf(1)), "fill -inf": float32(math.Inf(-1)), "fill -0.0": float32(math.Copysign(0, -1)),
		"fill 0.1": 0.1, "fill nan": float32(math.NaN()),
	} {
		a, err := Open(t.Context(), st, value)
		if err != nil {
			t.Error(err)
			continue
		}
		got := make([]float32, product(a.Meta.Shape))
		if err := ReadBox(t.Context(), a, make([]int, len(a.Meta.Shape)), a.Meta.Shape, got); err != nil {
			t.Error(err)
			continue
		}
		for _, v := range got {
			if math.Float32bits(v) != math.Float32bits(want) && !(v != v && want != want) {
				t.Errorf("%s: %v", value, v)
			}
		}
	}
}
