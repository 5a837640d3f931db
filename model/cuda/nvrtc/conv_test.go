package nvrtc

import (
	"fmt"
	"testing"

	"noisystudent/model/cuda/kernels"
	"noisystudent/model/cuda/tuning"
)

// TestConvKernels compiles the convolutions of the tuning table: each of its tiles for
// the largest kernel that it takes, with every stride, and for a phase of a data
// gradient. Nothing may spill.
func TestConvKernels(t *testing.T) {
	c := opened(t)
	units := map[kernels.Unit]bool{{File: "conv_direct", Defines: "STORE=float"}: true}
	add := func(file, defines string) {
		for _, store := range []string{"bf16", "f16"} {
			units[kernels.Unit{File: file, Defines: "STORE=" + store + " " + defines}] = true
		}
	}
	add("conv_sum", "")
	add("conv_direct", "")
	for _, r := range tuning.Rules() {
		add("conv_pack", fmt.Sprintf("TILES=%d", r.Tile.Tiles))
		add("conv_first", r.Tile.Defines(r.Kernel, [3]int{1, 1, 1}))
		for h := range r.Stride[1] {
			for w := range r.Stride[2] {
				add("conv_mma", r.Tile.Defines(r.Kernel, [3]int{1, 1 + h, 1 + w}))
			}
		}
		if r.Kernel[1] > 1 {
			add("conv_mma", r.Tile.Defines([3]int{1, 2, 1}, [3]int{1, 1, 1}))
		}
	}
	for u := range units {
		compilesWithoutSpills(t, c, u)
	}
}

func compilesWithoutSpills(t *testing.T, c *Compiler, u kernels.Unit) {
	t.Helper()
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
