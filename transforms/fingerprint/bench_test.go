package fingerprint

import (
	"testing"

	"noisystudent/io/volume"
	"noisystudent/model/random"
)

// A FLARE case: 512x512x100 voxels, 5 % of them labelled, two million draws (50 cases).
func BenchmarkMeasure(b *testing.B) {
	g := volume.Geometry{Shape: [3]int{100, 512, 512}, Spacing: [3]float64{2.5, 0.8, 0.8}}
	v := &volume.Volume{Geometry: g, Data: make([]float32, g.Voxels())}
	l := &volume.Labels{Geometry: g, Data: make([]uint8, g.Voxels())}
	s := random.New(1)
	for i := range v.Data {
		v.Data[i] = float32(s.IntN(400) - 100)
		if i%20 == 0 {
			l.Data[i] = 1
		}
	}
	o := options()
	o.Samples = TotalSamples / 50
	for b.Loop() {
		Measure("a", v, l, o)
	}
}
