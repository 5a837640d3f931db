package dicom

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
)

// realSeries unpacks the public CT series, which tests may use where it is.
func realSeries(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("NOISYSTUDENT_CT")
	if folder == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	packed, to := filepath.Join(folder, "crlm_ct_1004_dicom.tar.xz"), t.TempDir()
	if _, err := os.Stat(packed); err != nil {
		t.Skipf("needs the real DICOM series: %v", err)
	}
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skipf("needs tar and xz: %v", err)
	}
	if out, err := exec.Command("tar", "-xJf", packed, "-C", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

// The sum and the grid are SimpleITK's (2.5.7, GDCM) of the same files: spacing,
// origin and direction in LPS, here turned to RAS.
func TestRealSeries(t *testing.T) {
	address := realSeries(t)
	v, _, err := Read(t.Context(), address, Options{Orientation: nifti.Stored, KeepPadding: true})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	padding := 0
	for _, o := range []Options{{}, {KeepPadding: true, Orientation: nifti.Stored}} {
		if !sameCompact(t, "the series", address, o) {
			t.Errorf("%+v: takes more than 16 bits a voxel", o)
		}
	}
	for _, x := range v.Data {
		b.Write(binary.LittleEndian.AppendUint16(nil, uint16(int16(x))))
		if x == -3024 {
			padding++
		}
	}
	const want = "0d6957114c31e3f577220682fdc9b6d25a34940ef494adacfd2b3b20abe9b87c"
	if sum := sha256.Sum256(b.Bytes()); hex.EncodeToString(sum[:]) != want {
		t.Errorf("the voxels' sha256 is %x", sum)
	}
	grid := volume.Geometry{
		Shape: [3]int{41, 512, 512}, Spacing: [3]float64{5, 0.796875, 0.796875}, Origin: [3]float64{198.199997, 204, -375},
		Direction: [3][3]float64{{0, 0, 1}, {0, -1, 0}, {-1, 0, 0}},
	}
	if !v.SameGrid(grid, 1e-4) {
		t.Errorf("the grid is %+v", v.Geometry)
	}
	air, _, err := Read(t.Context(), address, Options{Orientation: nifti.Stored})
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range air.Data {
		if was := v.Data[i]; x != was && (was != -3024 || x != AirHU) {
			t.Fatalf("voxel %d: %g became %g", i, was, x)
		} else if x == AirHU && was == -3024 {
			padding--
		}
	}
	if share := float64(padding); share != 0 {
		t.Errorf("%g voxels of padding are not air", share)
	}
}
