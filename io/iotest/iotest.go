// Package iotest reads and makes files for tests of other packages.
package iotest

import (
	"bytes"
	"os"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/safetensors"
	"noisystudent/io/volume"
)

// Tensors reads a file of package safetensors.
func Tensors(t testing.TB, path string) map[string]safetensors.Tensor {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Decode(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return f.Tensors
}

// Image is a NIfTI file of the grid whose voxel i has a value.
func Image(t testing.TB, g volume.Geometry, kind nifti.DataType, value func(i int) float32) []byte {
	t.Helper()
	v := &volume.Volume{Geometry: g, Data: make([]float32, g.Voxels())}
	for i := range v.Data {
		v.Data[i] = value(i)
	}
	var b bytes.Buffer
	if err := nifti.WriteVolume(&b, v, nifti.NewFrame(g), kind); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Labels is a NIfTI label map of the grid whose voxel i has a label.
func Labels(t testing.TB, g volume.Geometry, value func(i int) uint8) []byte {
	t.Helper()
	l := &volume.Labels{Geometry: g, Data: make([]uint8, g.Voxels())}
	for i := range l.Data {
		l.Data[i] = value(i)
	}
	var b bytes.Buffer
	if err := nifti.WriteLabels(&b, l, nifti.NewFrame(g)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
