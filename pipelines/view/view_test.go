package view

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// Classes of the test's case: a block at the patient's right, a smaller one at the left, and one in the
// lower half only.
const (
	right, left, low = 1, 2, 200
)

var (
	geometry = volume.Geometry{
		Shape: [3]int{20, 60, 80}, Spacing: [3]float64{5, 2, 2},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}}, // of an axis that leads to superior, anterior, right
	}
	blocks = map[uint8]volume.Box{ // (z, y, x)
		right: {Lo: [3]int{2, 10, 50}, Hi: [3]int{18, 40, 70}},
		left:  {Lo: [3]int{2, 20, 15}, Hi: [3]int{18, 35, 25}},
		low:   {Lo: [3]int{2, 42, 30}, Hi: [3]int{8, 52, 50}},
	}
)

// patient makes a case: blocks in a body in air, references without one of them, and a second case whose
// scan is cut short.
func patient(t *testing.T) []Case {
	t.Helper()
	scan := &volume.Volume{Geometry: geometry, Data: make([]float32, geometry.Voxels())}
	labels := &volume.Labels{Geometry: geometry, Data: make([]uint8, geometry.Voxels())}
	for i := range scan.Data {
		x, y := i%80, i/80%60
		if scan.Data[i] = -1000; x > 4 && x < 76 && y > 4 && y < 56 {
			scan.Data[i] = float32(20 + x) // seen in a window of soft tissue
		}
	}
	paint := func(class uint8) {
		b := blocks[class]
		for z := b.Lo[0]; z < b.Hi[0]; z++ {
			for y := b.Lo[1]; y < b.Hi[1]; y++ {
				for x := b.Lo[2]; x < b.Hi[2]; x++ {
					labels.Data[(z*60+y)*80+x] = class
				}
			}
		}
	}
	dir := t.TempDir()
	write := func(name string, encode func(io.Writer) error) string {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		return file
	}
	frame, err := nifti.NewFrameOriented(geometry, "LPS") // as scanners store it
	if err != nil {
		t.Fatal(err)
	}
	c := Case{ID: "case", Scan: write("case.nii.gz", func(w io.Writer) error { return nifti.WriteVolume(w, scan, frame, nifti.Int16) })}
	paint(right)
	paint(low)
	c.References = write("reference.nii.gz", func(w io.Writer) error { return nifti.WriteLabels(w, labels, frame) })
	paint(left)
	c.Labels = write("labels.nii.gz", func(w io.Writer) error { return nifti.WriteLabels(w, labels, frame) })
	data, err := os.ReadFile(c.Scan)
	if err != nil {
		t.Fatal(err)
	}
	cut := write("cut.nii.gz", func(w io.Writer) error { _, err := w.Write(data[:len(data)/2]); return err })
	return []Case{c, {ID: "cut", Scan: cut}}
}

var names = []cases.Label{{ID: right, Name: "right <b>organ</b>"}, {ID: left, Name: "left organ"}}

// get asks a server as a browser of this machine does.
func get(t *testing.T, s *Server, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://localhost:1234"+path, nil)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func unpacked(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The viewer is what its authors published, see niivue/ORIGIN.md.
func TestNiiVueIsThePublishedOne(t *testing.T) {
	sum := sha256.Sum256(unpacked(t, niivue))
	got := hex.EncodeToString(sum[:])
	origin, err := os.ReadFile("niivue/ORIGIN.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"; got != want || !bytes.Contains(origin, []byte(want)) {
		t.Errorf("sha256 %s, want %s, also in ORIGIN.md", got, want)
	}
}

// Only what was given is served, to those who know the key and call by a name of this machine.
func TestOnlyTheCasesAreServed(t *testing.T) {
	s := New(patient(t), names)
	p := s.Path()
	for path, want := range map[string]int{
		p:                                  http.StatusOK,
		p + "view.js":                      http.StatusOK,
		p + "niivue.js":                    http.StatusOK,
		p + "cases.json":                   http.StatusOK,
		p + "case/0/scan":                  http.StatusOK,
		p + "case/0/differences":           http.StatusOK,
		p + "case/1/scan":                  http.StatusUnprocessableEntity,
		p + "case/1/labels":                http.StatusNotFound,
		p + "case/2/scan":                  http.StatusNotFound,
		p + "case/-1/scan":                 http.StatusNotFound,
		p + "case/0/view.go":               http.StatusNotFound,
		p + "case/0/..%2f..%2fview.go":     http.StatusNotFound,
		p + "page/index.html":              http.StatusNotFound,
		p + "%2e%2e/view.go":               http.StatusNotFound,
		"/":                                http.StatusNotFound,
		"/cases.json":                      http.StatusNotFound,
		"/" + strings.ToLower(p[1:]) + "x": http.StatusNotFound,
	} {
		if got := get(t, s, path); got.Code != want {
			t.Errorf("%s: %d, want %d", path, got.Code, want)
		}
	}
	for host, want := range map[string]int{
		"localhost": 200, "localhost:1234": 200, "127.0.0.1:1": 200, "[::1]:1": 200, "127.0.0.1": 200,
		"example.org": 403, "example.org:1234": 403, "localhost.example.org": 403, "10.0.0.1:1234": 403, "": 403, "127.0.0.1.example.org": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+p, nil)
		r.Host = host
		w := httptest.NewRecorder()
		if s.Handler().ServeHTTP(w, r); w.Code != want {
			t.Errorf("host %q: %d, want %d", host, w.Code, want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "http://localhost"+p, nil)
	w := httptest.NewRecorder()
	if s.Handler().ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	if New(nil, nil).Path() == p {
		t.Error("two servers have one key")
	}
	message := get(t, s, p+"case/1/scan").Body.String()
	if !strings.Contains(message, "truncated") || !strings.Contains(message, "copy or export the file again") {
		t.Errorf("of a damaged file the page is told %q", message)
	}
}

// The page is told of cases, layers and names, and of no path.
func TestListed(t *testing.T) {
	list := patient(t)
	s := New(list, names)
	body := get(t, s, s.Path()+"cases.json").Body.String()
	var got struct {
		Cases []struct {
			ID     string
			Layers []string
		}
		Labels  []cases.Label
		Colours []string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Cases) != 2 || !slices.Equal(got.Cases[0].Layers, layerNames) || !slices.Equal(got.Cases[1].Layers, []string{"scan"}) || !slices.Equal(got.Labels, names) || len(got.Colours) != 256 {
		t.Errorf("%s", body)
	}
	if strings.Contains(body, filepath.Dir(list[0].Scan)) {
		t.Error("the page is told a path")
	}
}

// A layer has the voxels and the place of its file, and nothing else that its header says.
func TestLayers(t *testing.T) {
	list := patient(t)
	described := filepath.Join(t.TempDir(), "described.nii")
	data, err := os.ReadFile(list[0].Scan)
	if err != nil {
		t.Fatal(err)
	}
	data = unpacked(t, data)
	copy(data[148:], "DOE^JANE") // descrip
	if err := os.WriteFile(described, data, 0o666); err != nil {
		t.Fatal(err)
	}
	list[0].Scan = described
	s := New(list, names)
	body := get(t, s, s.Path()+"case/0/scan").Body.Bytes()
	if bytes.Contains(unpacked(t, body), []byte("JANE")) {
		t.Error("the header's text reaches the page")
	}
	got, _, err := nifti.Read(bytes.NewReader(body), nifti.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := nifti.Read(bytes.NewReader(data), nifti.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !got.SameGrid(want.Geometry, 0.001) || !slices.Equal(got.Data, want.Data) {
		t.Error("the page's scan is not the file's")
	}
	for layer, want := range map[string]map[uint8]int{
		"labels":      {right: 16 * 30 * 20, left: 16 * 15 * 10, low: 6 * 10 * 20},
		"references":  {right: 16 * 30 * 20, low: 6 * 10 * 20},
		"differences": {left: 16 * 15 * 10},
	} {
		l, _, err := nifti.ReadLabels(bytes.NewReader(get(t, s, s.Path()+"case/0/"+layer).Body.Bytes()), nifti.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, class := range []uint8{right, left, low} {
			if n := bytes.Count(l.Data, []byte{class}); n != want[class] {
				t.Errorf("%s: class %d has %d voxels, want %d", layer, class, n, want[class])
			}
		}
	}
}

func TestDiffer(t *testing.T) {
	labels := []uint8{0, 1, 1, 1, 0}
	if differ(labels, []uint8{0, 1, 2, 0, 3}); !slices.Equal(labels, []uint8{0, 0, 1, 1, 3}) {
		t.Errorf("%v", labels)
	}
}

// Organs of other grids cannot be compared, and the page says so.
func TestDifferencesNeedOneGrid(t *testing.T) {
	list := patient(t)
	small := &volume.Labels{Geometry: geometry, Data: make([]uint8, geometry.Voxels()/2)}
	small.Shape[0] /= 2
	var b bytes.Buffer
	if err := nifti.WriteLabels(&b, small, nifti.NewFrame(small.Geometry)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list[0].References, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	s := New(list, names)
	if w := get(t, s, s.Path()+"case/0/differences"); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), string(cases.GridMismatch)) {
		t.Errorf("%d, %s", w.Code, w.Body)
	}
}

// A server ends with its context, and answers until then.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, done := New(patient(t), names), make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	answer, err := http.Get("http://" + l.Addr().String() + s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if policy := answer.Header.Get("Content-Security-Policy"); answer.StatusCode != http.StatusOK || !strings.HasPrefix(policy, "default-src 'self'") {
		t.Errorf("%s, policy %q", answer.Status, policy)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
