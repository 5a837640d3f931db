package statistics

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// BenchmarkFiles reads and measures a scan of 110x512x512 voxels with labels: what
// statistics add to a prediction. cpu-s/op is the processors' time.
func BenchmarkFiles(b *testing.B) {
	g := grid([3]int{110, 512, 512})
	image := &volume.Volume{Geometry: g, Data: make([]float32, g.Voxels())}
	labels := &volume.Labels{Geometry: g, Data: make([]uint8, g.Voxels())}
	state := uint32(1)
	for i := range image.Data {
		state = state*1664525 + 1013904223 // noise of 64 HU, as of a scanner
		x, y, z := i%512, i/512%512, i/(512*512)
		image.Data[i] = float32((x+y)%200) - 100 + float32(state>>26)
		if y > 150 && y < 350 && x%150 > 30 && z > 20 {
			labels.Data[i] = uint8(1 + x/150%3)
		}
	}
	folder := b.TempDir()
	scan := cases.Case{ID: "a", Set: cases.Labelled, Image: filepath.Join(folder, "image.nii.gz"), Labels: filepath.Join(folder, "labels.nii.gz")}
	var file bytes.Buffer
	if err := nifti.WriteVolume(&file, image, nifti.NewFrame(g), nifti.Int16); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(scan.Image, file.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	file.Reset()
	if err := nifti.WriteLabels(&file, labels, nifti.NewFrame(g)); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(scan.Labels, file.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	image, labels = nil, nil
	c := Config{Name: "bench", Labels: names, Ignore: -1, BudgetBytes: 4 << 30}
	before := cpuSeconds(b)
	for b.Loop() {
		if _, err := Files(b.Context(), c, scan); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpuSeconds(b)-before)/float64(b.N), "cpu-s/op")
}

// cpuSeconds that this process has taken.
func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
