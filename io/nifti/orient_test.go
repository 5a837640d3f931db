package nifti

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"noisystudent/io/volume"
)

// turns are rotations about R, A and S in radians: none, a gantry's, and an
// oblique scan's.
var turns = [][3]float64{{}, {0.21, 0, 0}, {0.1, -0.2, 0.3}, {-0.35, 0.3, 0.2}}

// everyAffine returns all 48 axis orders under every turn.
func everyAffine(spacing [3]float64) []Affine {
	var all []Affine
	for _, turn := range turns {
		for _, p := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			for signs := range 8 {
				m := Affine{{3: -120.25}, {3: 80.5}, {3: 1000.125}}
				for c := range 3 {
					var v [3]float64
					v[p[c]] = spacing[c] * float64(1-2*(signs>>c&1))
					v = turned(v, turn)
					for w := range 3 {
						m[w][c] = v[w]
					}
				}
				all = append(all, m)
			}
		}
	}
	return all
}

func turned(v, turn [3]float64) [3]float64 {
	for axis, angle := range turn {
		i, j := (axis+1)%3, (axis+2)%3
		s, c := math.Sincos(angle)
		v[i], v[j] = c*v[i]-s*v[j], s*v[i]+c*v[j]
	}
	return v
}

func throughJSON(t *testing.T, f Frame) Frame {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back Frame
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// TestEveryOrientation: reading keeps every voxel's place, and writing what was
// read gives back the file's own voxels and affine bytes.
func TestEveryOrientation(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	spacing := [3]float64{0.7, 0.8, 2.5}
	for _, version := range []int{1, 2} {
		for i, m := range everyAffine(spacing) {
			r := plain(version, i%2 == 1)
			r.srow, r.pixdim = m, [4]float64{1, 0.7, 0.8, 2.5}
			switch i % 3 {
			case 1: // qform only
				q := m.qform()
				r.sform, r.qform, r.quatern, r.qoffset, r.pixdim[0] = 0, 2, q.Quatern, q.Offset, q.Factor
			case 2: // both
				q := m.qform()
				r.qform, r.quatern, r.qoffset, r.pixdim[0] = 1, q.Quatern, q.Offset, q.Factor
			}
			r.datatype, r.data = 2, make([]byte, 24)
			for v, x := range rng.Perm(24) {
				r.data[v] = byte(x)
			}
			checkRoundTrip(t, r)
		}
	}
}

func checkRoundTrip(t *testing.T, r raw) {
	t.Helper()
	l, f, err := ReadLabels(bytes.NewReader(r.bytes()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for a := range 3 {
		if l.Direction[a][2-a] < 0.6 {
			t.Fatalf("axis %d points to %v", a, l.Direction[a])
		}
	}
	checkPlaces(t, r, l)
	var out bytes.Buffer
	if err := WriteLabels(&out, &volume.Labels{Geometry: f.Geometry(), Data: l.Data}, throughJSON(t, f)); err != nil {
		t.Fatal(err)
	}
	again, g, err := ReadLabels(bytes.NewReader(out.Bytes()), Options{})
	if err != nil || !slices.Equal(l.Data, again.Data) || !again.SameGrid(l.Geometry, 1e-4) {
		t.Fatalf("%v became %v, %v", l, again, err)
	}
	if f.Source == "sform" {
		f.QForm, g.QForm = QForm{}, QForm{} // rounded where the file had none
		if diff := cmp.Diff(f, g); diff != "" {
			t.Fatalf("frame (-want +got):\n%s", diff)
		}
	}
	checkBytes(t, r, out.Bytes())
}

// checkPlaces compares the world position of every label with the file's affine.
func checkPlaces(t *testing.T, r raw, l *volume.Labels) {
	t.Helper()
	tolerance := 1e-3
	if r.sform == 0 {
		tolerance = 1e-2 // three float32 near a half turn: see agreementMM
	}
	for n, v := range l.Data {
		p := l.World([3]float64{float64(n / l.Shape[2] / l.Shape[1]), float64(n / l.Shape[2] % l.Shape[1]), float64(n % l.Shape[2])})
		at := bytes.IndexByte(r.data, v)
		i, j, k := float64(at%4), float64(at/4%3), float64(at/12)
		for w := range 3 {
			want := r.srow[w][0]*i + r.srow[w][1]*j + r.srow[w][2]*k + r.srow[w][3]
			if math.Abs(p[w]-want) > tolerance {
				t.Fatalf("label %d lies at %v, its file says %g along %d", v, p, want, w)
			}
		}
	}
}

// checkBytes compares the fields that must come back as they were.
func checkBytes(t *testing.T, r raw, written []byte) {
	t.Helper()
	want, got := r, unzip(t, written)
	want.big, want.qform, want.sform = false, 1, 1
	type span struct {
		name   string
		lo, hi int
	}
	spans := []span{{"dim", 40, 56}, {"pixdim 1-3", 80, 92}, {"codes", 252, 256}, {"data", 352, 376}}
	sform, qform := span{"sform", 280, 328}, span{"qform", 256, 280}
	if r.version == 2 {
		spans = []span{{"dim", 16, 80}, {"pixdim 1-3", 112, 136}, {"codes", 344, 352}, {"data", 544, 568}}
		sform, qform = span{"sform", 400, 496}, span{"qform", 352, 400}
	}
	if r.sform > 0 {
		spans = append(spans, sform)
	}
	if r.qform > 0 {
		spans = append(spans, qform)
	}
	whole := want.bytes()
	for _, s := range spans {
		// dim[4..7] are 1 in what we write; the raw file leaves them 0.
		if s.name == "dim" {
			s.hi = s.lo + (s.hi-s.lo)/2
		}
		if !bytes.Equal(whole[s.lo:s.hi], got[s.lo:s.hi]) {
			t.Fatalf("%s: % x became % x", s.name, whole[s.lo:s.hi], got[s.lo:s.hi])
		}
	}
}

func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestStoredNeverMoves: the stored orientation gives the file's bytes in order.
func TestStoredNeverMoves(t *testing.T) {
	for _, m := range everyAffine([3]float64{0.7, 0.8, 2.5}) {
		r := plain(1, false)
		r.srow, r.pixdim = m, [4]float64{1, 0.7, 0.8, 2.5}
		v, f := mustRead(t, r.bytes(), Options{Orientation: Stored})
		for i, x := range v.Data {
			if x != float32(i) {
				t.Fatalf("voxel %d is %g", i, x)
			}
		}
		if f.Axes != volume.Unmoved || !near(affineOf(v.Geometry), m, 1e-3) {
			t.Fatalf("axes %v, affine %v, want %v", f.Axes, affineOf(v.Geometry), m)
		}
	}
}
