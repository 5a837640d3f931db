package resample

import (
	"syscall"
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

// BenchmarkExport puts a scan of FLARE's usual size from the network's grid onto its own, by
// both exports, from planes of scores of 14 classes in shells, and says what of CPU time.
func BenchmarkExport(b *testing.B) {
	const classes = 14
	g := volume.Geometry{Shape: [3]int{110, 512, 512}, Spacing: [3]float64{2.5, 0.74, 0.74}}
	p := Properties{Source: g, Crop: volume.Whole(g.Shape), Shape: [3]int{110, 474, 474}, Spacing: [3]float64{2.5, 0.8, 0.8}}
	area := p.Shape[1] * p.Shape[2]
	planes, scores := make([][]uint8, p.Shape[0]), make([]float32, classes*area)
	for z := range planes {
		planes[z] = make([]uint8, area)
		for i := range planes[z] {
			y, x := i/474-237, i%474-237
			if d := (z-55)*(z-55)*20 + y*y + x*x; d < 160*160 {
				planes[z][i] = uint8(1 + d/2000)
			}
		}
	}
	run := func(export func(z int)) func(b *testing.B) {
		return func(b *testing.B) {
			before := cpuSeconds(b)
			for b.Loop() {
				for z := range planes {
					export(z)
				}
			}
			b.ReportMetric((cpuSeconds(b)-before)/float64(b.N), "cpu-s/op")
		}
	}
	var nearest *LabelExporter
	b.Run("labels", run(func(z int) {
		if z == 0 {
			nearest = p.LabelExporter()
		}
		nearest.Rows(z, 0, planes[z])
	}))
	var linear *Exporter
	b.Run("probabilities", run(func(z int) {
		if z == 0 {
			linear = p.Exporter(classes)
		}
		clear(scores)
		for i, label := range planes[z] {
			scores[int(label)*area+i] = 1
		}
		if err := linear.Rows(b.Context(), z, 0, scores, planes[z]); err != nil {
			b.Fatal(err)
		}
	}))
}

func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
