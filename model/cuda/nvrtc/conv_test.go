package nvrtc

import (
	"testing"

	"noisystudent/model/cuda/kernels"
	"noisystudent/model/cuda/tuning"
)

// TestConvKernels compiles the convolutions of the tuning table: each of its tiles for
// kernels of 3 and 5 taps and strides of 1 and 2 along an axis where it takes any. Nothing may spill.
func TestConvKernels(t *testing.T) {
	c := opened(t)
	units := map[kernels.Unit]bool{}
	for _, file := range []string{"conv_pack", "conv_sum", "conv_direct"} {
		units[kernels.Unit{File: file, Defines: "STORE=bf16 TILES=4"}] = true
	}
	for _, r := range tuning.Rules() {
		for _, kernel := range concrete(r.Kernel, [][3]int{{3, 3, 3}, {1, 5, 5}}) {
			for _, stride := range concrete(r.Stride, [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {1, 1, 2}, {1, 2, 1}}) {
				if r.Tile.Shared(kernel, stride, 2) > 99<<10 {
					continue
				}
				for _, store := range []string{"bf16", "f16"} {
					units[kernels.Unit{File: "conv_mma", Defines: "STORE=" + store + " " + r.Tile.Defines(kernel, stride)}] = true
				}
			}
		}
	}
	for u := range units {
		source, err := u.Source()
		if err != nil {
			t.Fatal(err)
		}
		for _, arch := range []string{"sm_80", "sm_90"} {
			image, err := c.Image(arch, u.File, source)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range image.Kernels {
				t.Logf("%s %s: %s", u, arch, k)
				if k.SpillStores+k.SpillLoads+k.Stack > 0 {
					t.Errorf("%s %s: %s, want no spills", u, arch, k)
				}
			}
		}
	}
}

// concrete puts numbers for the zeros of a rule.
func concrete(rule [3]int, values [][3]int) (list [][3]int) {
	seen := map[[3]int]bool{}
	for _, v := range values {
		for a := range v {
			if rule[a] != 0 {
				v[a] = rule[a]
			}
		}
		if !seen[v] {
			seen[v] = true
			list = append(list, v)
		}
	}
	return list
}
