package resample

import (
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
)

// BenchmarkCase prepares a scan of FLARE's usual size, with ellipsoids for organs.
func BenchmarkCase(b *testing.B) {
	g := volume.Geometry{Shape: [3]int{110, 512, 512}, Spacing: [3]float64{2.5, 0.74, 0.74}}
	image := &volume.Volume{Geometry: g, Data: make([]float32, g.Voxels())}
	labels := &volume.Labels{Geometry: g, Data: make([]uint8, g.Voxels())}
	for i := range image.Data {
		image.Data[i] = float32(i*2654435761>>20&255) - 100
		z, y, x := i/(512*512)-55, i/512%512-256, i%512-256
		if d := z*z*20 + y*y + x*x; d < 160*160 {
			labels.Data[i] = uint8(1 + d/2000)
		}
	}
	p := plan.Plan{Spacing: [3]float64{2.5, 0.8, 0.8}, Ignore: -1, Labels: make([]cases.Label, 13), Intensity: plan.Intensity{Mean: 90, SD: 50, P005: -30, P995: 200}}
	b.SetBytes(int64(4 * g.Voxels()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Case(b.Context(), image, labels, nifti.Frame{}, p); err != nil {
			b.Fatal(err)
		}
	}
}
