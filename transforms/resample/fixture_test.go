package resample

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// array is a C-order .npy file, its numbers as float64.
type array struct {
	shape []int
	data  []float64
}

// readNPY reads the element types of the fixtures.
func readNPY(t *testing.T, path string) array {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.IndexByte(raw, '\n')
	head := regexp.MustCompile(`'descr': '([^']+)', 'fortran_order': False, 'shape': \(([^)]*)\)`).FindSubmatch(raw[:end])
	if head == nil {
		t.Fatalf("%s: not a C-order array", path)
	}
	var a array
	for _, d := range strings.Split(strings.ReplaceAll(string(head[2]), " ", ""), ",") {
		if n, err := strconv.Atoi(d); err == nil {
			a.shape = append(a.shape, n)
		}
	}
	for raw = raw[end+1:]; len(raw) > 0; {
		var v float64
		switch string(head[1]) {
		case "<f4":
			v, raw = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))), raw[4:]
		case "<f2":
			v, raw = half(binary.LittleEndian.Uint16(raw)), raw[2:]
		case "<i2":
			v, raw = float64(int16(binary.LittleEndian.Uint16(raw))), raw[2:]
		case "|u1":
			v, raw = float64(raw[0]), raw[1:]
		case "|i1":
			v, raw = float64(int8(raw[0])), raw[1:]
		default:
			t.Fatalf("%s: element type %s", path, head[1])
		}
		a.data = append(a.data, v)
	}
	return a
}

// half widens a float16.
func half(bits uint16) float64 {
	exponent, mantissa := int(bits>>10&31), float64(bits&1023)
	v := math.Ldexp(1024+mantissa, exponent-25)
	if exponent == 0 {
		v = math.Ldexp(mantissa, -24)
	}
	if bits>>15 == 1 {
		return -v
	}
	return v
}

// last3 returns the last three axes.
func (a array) last3() [3]int { return [3]int(a.shape[len(a.shape)-3:]) }

func (a array) floats() []float32 {
	out := make([]float32, len(a.data))
	for i, v := range a.data {
		out[i] = float32(v)
	}
	return out
}

// classes returns the numbers as labels, raised by one where -1 is among them, so
// that their order stays.
func (a array) classes(raise int) []uint8 {
	out := make([]uint8, len(a.data))
	for i, v := range a.data {
		out[i] = uint8(int(v) + raise)
	}
	return out
}

// spacings is what a fixture's manifest says of one array.
type spacings struct {
	Old    [3]float64 `json:"old"`
	New    [3]float64 `json:"new"`
	Order  int        `json:"order"`
	Coarse int        `json:"coarse"`
}

func readManifest(t *testing.T) map[string]spacings {
	t.Helper()
	var m map[string]spacings
	readJSON(t, "testdata/resample.json", &m)
	if len(m) == 0 {
		t.Fatal("testdata/resample.json is empty")
	}
	return m
}

// realManifest reads the fixtures cut from the real CT, which are not in the
// repository, or skips.
func realManifest(t *testing.T) (string, map[string]realEntry) {
	t.Helper()
	ct := os.Getenv("NOISYSTUDENT_CT")
	if ct == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	dir := filepath.Join(ct, "..", "reference")
	var m struct {
		Files map[string]realEntry `json:"files"`
	}
	readJSON(t, filepath.Join(dir, "manifest.json"), &m)
	return dir, m.Files
}

type realEntry struct {
	Old       [3]float64 `json:"old_spacing"`
	New       [3]float64 `json:"new_spacing"`
	Order     int        `json:"order"`
	Coarse    *int       `json:"lowres_axis"`
	Seg       bool       `json:"is_seg"`
	Tolerance float64    `json:"tolerance"`
	Intensity struct {
		Mean float64 `json:"mean"`
		SD   float64 `json:"std"`
		P005 float64 `json:"percentile_00_5"`
		P995 float64 `json:"percentile_99_5"`
	} `json:"intensity"`
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// worst returns the largest difference and where it is.
func worst(got []float32, want []float64) (diff float64, at int) {
	for i, v := range got {
		if d := math.Abs(float64(v) - want[i]); !(d <= diff) {
			diff, at = d, i
		}
	}
	return diff, at
}
