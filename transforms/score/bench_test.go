package score

import "testing"

// BenchmarkCase scores 13 ellipsoids in a scan of FLARE's usual size, the
// prediction moved by two voxels.
func BenchmarkCase(b *testing.B) {
	shape := [3]int{110, 512, 512}
	ref := make([]uint8, 110*512*512)
	for i := range ref {
		z, y, x := i/(512*512), i/512%512, i%512
		organ := x/64 + 8*(y/256)
		dz, dy, dx := z-55, y%256-128, x%64-32
		if organ < 13 && dz*dz*6+dy*dy/4+dx*dx < 900 {
			ref[i] = uint8(organ + 1)
		}
	}
	pred := append(make([]uint8, 2), ref[:len(ref)-2]...)
	spacing := [3]float64{2.5, 0.8, 0.8}
	b.SetBytes(int64(2 * len(ref)))
	for b.Loop() {
		if _, err := Case(labelsOf(shape, spacing, ref), labelsOf(shape, spacing, pred), Options{Labels: flareLabels()}); err != nil {
			b.Fatal(err)
		}
	}
}
