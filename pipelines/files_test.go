package pipelines

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"noisystudent/io/volume"
)

// gridOf is a canonical grid of the tiny cohort's spacing.
func gridOf(z, y, x int) volume.Geometry {
	return volume.Geometry{
		Shape: [3]int{z, y, x}, Spacing: [3]float64{10, 15, 15}, Origin: [3]float64{-10, 20, 30},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
	}
}

func moved(g volume.Geometry) volume.Geometry {
	g.Origin[0] += 15
	return g
}

// voxel puts a value among the voxels of a file of float32.
func voxel(file []byte, v float64) []byte {
	b := slices.Clone(file)
	binary.LittleEndian.PutUint32(b[352+4*1000:], math.Float32bits(float32(v)))
	return b
}

// damage turns a bit of a gzip stream's checksum.
func damage(packed []byte) []byte {
	b := slices.Clone(packed)
	b[len(b)-8] ^= 1
	return b
}

func unpack(t *testing.T, packed []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// nifti2 is the header of a NIfTI-2 file of n voxels in a row, and a few of them.
func nifti2(n int64) []byte {
	b := make([]byte, 544+64)
	le := binary.LittleEndian
	le.PutUint32(b, 540)
	copy(b[4:], "n+2\x00\r\n\x1a\n")
	le.PutUint16(b[12:], 4) // int16
	le.PutUint16(b[14:], 16)
	for i, d := range []int64{3, n, 1, 1, 1, 1, 1, 1} {
		le.PutUint64(b[16+8*i:], uint64(d))
		le.PutUint64(b[104+8*i:], math.Float64bits(1))
	}
	le.PutUint64(b[168:], 544)
	return b
}

func put(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// unreadable makes a file that is there and cannot be read, also by root, where the
// system has one.
func unreadable(file string) bool {
	const source = "/proc/self/mem" // nothing is mapped at its beginning
	if runtime.GOOS != "linux" {
		return os.WriteFile(file, nil, 0) == nil && os.Getuid() != 0
	}
	return os.Symlink(source, file) == nil
}

// allocated is what this process has ever taken from its heap.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
