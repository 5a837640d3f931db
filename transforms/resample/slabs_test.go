package resample

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/model/random"
	"noisystudent/transforms/cases"
)

// TestSlabsAreTheImage holds planes that are made some at a time, in blocks of any
// size, to the image that is made at once: to the bit.
func TestSlabsAreTheImage(t *testing.T) {
	for _, c := range []struct {
		shape    [3]int
		from, to [3]float64
	}{
		{[3]int{23, 17, 19}, [3]float64{1, 1, 1}, [3]float64{1.7, 1.3, 0.8}},   // splines on all axes
		{[3]int{23, 17, 19}, [3]float64{2, 1, 1}, [3]float64{0.9, 1.3, 0.8}},   // and more planes than before
		{[3]int{9, 17, 19}, [3]float64{5, 1, 1}, [3]float64{2.5, 1.3, 0.8}},    // z by nearest neighbour
		{[3]int{23, 17, 19}, [3]float64{1, 1, 1}, [3]float64{2.5, 0.8, 0.8}},   // planes that nobody needs
		{[3]int{23, 17, 19}, [3]float64{1, 4, 1}, [3]float64{1.7, 1.3, 0.8}},   // y apart
		{[3]int{23, 17, 19}, [3]float64{1, 1, 4}, [3]float64{1.7, 1.3, 0.8}},   // x apart
		{[3]int{23, 17, 19}, [3]float64{1, 1, 1}, [3]float64{1, 1.3, 0.8}},     // z as it is
		{[3]int{23, 17, 19}, [3]float64{1, 1, 1}, [3]float64{1, 1, 1}},         // all as it is
		{[3]int{23, 17, 19}, [3]float64{1, 1, 1}, [3]float64{1.7, 1, 1}},       // z alone
		{[3]int{1, 17, 19}, [3]float64{1, 1, 1}, [3]float64{1, 1.3, 0.8}},      // one plane
		{[3]int{2, 5, 7}, [3]float64{1.5, 1, 1}, [3]float64{1, 1, 1}},          // fewer planes than taps
		{[3]int{23, 17, 19}, [3]float64{0.3, 1, 1}, [3]float64{0.9, 1.3, 0.8}}, // far fewer planes
	} {
		m, err := NewMapping(c.shape, c.from, c.to)
		if err != nil {
			t.Fatal(err)
		}
		box := volume.Box{Lo: [3]int{1, 2, 3}, Hi: [3]int{1 + c.shape[0], 2 + c.shape[1], 3 + c.shape[2]}}
		full := [3]int{box.Hi[0] + 1, box.Hi[1], box.Hi[2] + 2}
		noise, data := random.New(3), make([]float32, full[0]*full[1]*full[2])
		for i := range data {
			data[i] = max(float32(100*noise.Normal()), -30) // much of it constant, as air is
		}
		v := viewOf(data, full, box, func(row []float32) {
			for i := range row {
				row[i] /= 7
			}
		})
		want, err := resampleView(t.Context(), v, m)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range []int{1, 2, 5, 22, 23, 100} {
			for _, step := range []int{1, 3, m.To[0]} {
				s, err := newSlabs(t.Context(), v, m, block)
				if err != nil {
					t.Fatal(err)
				}
				got, size := make([]float32, len(want)), m.To[1]*m.To[2]
				for z := 0; z < m.To[0]; z += step {
					if err := s.Planes(t.Context(), z, min(z+step, m.To[0]), got[z*size:]); err != nil {
						t.Fatal(err)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%+v: blocks of %d, %d planes at a time: another image", m, block, step)
				}
			}
		}
	}
}

// TestLoadScan gives the planes of what Load prepares, of files of every kind of voxels
// and order of axes.
func TestLoadScan(t *testing.T) {
	p := thePlan(t, -1)
	for _, axes := range []string{"RAS", "LPI", "SAL"} {
		for _, kind := range []nifti.DataType{nifti.Int16, nifti.Float32} {
			image, _ := theCase(-1)
			frame, err := nifti.NewFrameOriented(image.Geometry, axes)
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := nifti.WriteVolume(&file, image, frame, kind); err != nil {
				t.Fatal(err)
			}
			folder := t.TempDir()
			st, err := store.Open(t.Context(), folder)
			if err == nil {
				err = st.Write(t.Context(), "x.nii.gz", file.Bytes())
			}
			if err != nil {
				t.Fatal(err)
			}
			c := cases.Case{ID: "x", Set: cases.Test, Image: filepath.Join(folder, "x.nii.gz")}
			want, err := Load(t.Context(), c, p, 0)
			if err != nil {
				t.Fatal(err)
			}
			s, err := LoadScan(t.Context(), c, p)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Image(t.Context())
			if err != nil || !slices.Equal(got, want.Image) || fmt.Sprint(s.Crop, s.Shape, s.Source) != fmt.Sprint(want.Crop, want.Shape, want.Source) {
				t.Errorf("%s of type %d: %v, another image of %v", axes, kind, err, s.Shape)
			}
			if s.Frame.Short != (kind == nifti.Int16) {
				t.Errorf("type %d: Short is %v", kind, s.Frame.Short)
			}
		}
	}
}
