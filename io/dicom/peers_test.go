package dicom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"
	"github.com/suyashkumar/dicom/pkg/uid"

	"noisystudent/io/dicom/dicomtest"
	"noisystudent/io/nifti"
	"noisystudent/io/volume"
)

// seen is what SimpleITK says about a series: see testdata/peer.py.
type seen struct {
	Spacing, Origin [3]float64 // x, y, z; LPS
	Direction       [9]float64 // columns are the axes
	Values          []float64
	Error           string // where it cannot read the series
}

func peer(t *testing.T, folders []string) map[string]seen {
	t.Helper()
	python := os.Getenv("NOISYSTUDENT_PYTHON")
	if python == "" {
		t.Skip("needs Python peers: set NOISYSTUDENT_PYTHON (testdata/peers/setup makes one)")
	}
	cmd := exec.Command(python, append([]string{"testdata/peer.py"}, folders...)...)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("peer.py: %v\n%s", err, failure.String())
	}
	var list map[string]seen
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestPeer: every transfer syntax, kind of pixel and orientation gives SimpleITK's
// voxels on SimpleITK's grid. Slices have 90 pixels, as GDCM refuses RLE with fewer than some 60.
func TestPeer(t *testing.T) {
	root := t.TempDir()
	var folders []string
	add := func(s dicomtest.Series, change func(i int, s dicomtest.Slice)) {
		s.UID = fmt.Sprintf("1.2.826.0.1.3680043.10.1.%d", len(folders)+1)
		s.Shape, s.Spacing, s.Origin = [3]int{4, 10, 9}, [3]float64{2.5, 0.8, 0.7}, [3]float64{-120.25, -80.5, 1000.125}
		s.Value = func(z, y, x int) int { return 300*z - 200*(y%2) + x/2 }
		folder := filepath.Join(root, fmt.Sprint(len(folders)))
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, slice := range s.Slices() {
			slice[tag.SOPInstanceUID] = []string{fmt.Sprintf("%s.%d", s.UID, i+1)}
			change(i, slice)
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("IM%d", i*3%4)), slice.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		folders = append(folders, folder)
	}
	none := func(int, dicomtest.Slice) {}
	for _, syntax := range []string{
		uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian, dicomtest.RLE,
		dicomtest.JPEG, dicomtest.SV1,
	} {
		add(dicomtest.Series{Syntax: syntax}, none)
	}
	for _, axes := range [][6]float64{
		{1, 0, 0, 0, 0, -1},
		{0, 1, 0, 0, 0, -1},
		{-1, 0, 0, 0, -1, 0},
		{0, 1, 0, 1, 0, 0},
		{math.Cos(0.3), math.Sin(0.3), 0, -math.Sin(0.3), math.Cos(0.3), 0},
		{0.8, 0, 0.6, 0.48, 0.6, -0.64},
	} {
		add(dicomtest.Series{Axes: axes}, none)
	}
	add(dicomtest.Series{}, func(_ int, s dicomtest.Slice) {
		s[tag.RescaleSlope], s[tag.RescaleIntercept] = []string{"0.5"}, []string{"-1024"}
	})
	add(dicomtest.Series{}, func(_ int, s dicomtest.Slice) {
		s[tag.BitsStored], s[tag.HighBit], s[tag.PixelRepresentation] = []int{12}, []int{11}, []int{0}
		s[tag.RescaleIntercept] = []string{"-1024"}
	})
	add(dicomtest.Series{}, func(_ int, s dicomtest.Slice) { s[tag.BitsStored], s[tag.HighBit] = []int{12}, []int{11} })
	for folder, want := range peer(t, folders) {
		if want.Error != "" {
			t.Errorf("%s: SimpleITK: %s", filepath.Base(folder), want.Error)
			continue
		}
		v, _, err := Read(t.Context(), folder, Options{Orientation: nifti.Stored, KeepPadding: true})
		if err != nil {
			t.Errorf("%s: %v", folder, err)
			continue
		}
		sameCompact(t, folder, folder, Options{Orientation: nifti.Stored, KeepPadding: true})
		g := volume.Geometry{Shape: v.Shape, Origin: ras(want.Origin)}
		for a := range 3 {
			g.Spacing[a] = want.Spacing[2-a]
			g.Direction[a] = ras([3]float64{want.Direction[2-a], want.Direction[5-a], want.Direction[8-a]})
		}
		if !v.SameGrid(g, 1e-3) {
			t.Errorf("%s: %+v, SimpleITK %+v", filepath.Base(folder), v.Geometry, g)
		}
		if len(want.Values) != len(v.Data) {
			t.Fatalf("%s: %d voxels, SimpleITK %d", filepath.Base(folder), len(v.Data), len(want.Values))
		}
		for i, x := range v.Data {
			if float64(x) != want.Values[i] {
				t.Errorf("%s: voxel %d is %g, SimpleITK says %g", filepath.Base(folder), i, x, want.Values[i])
				break
			}
		}
	}
}
