package nvrtc

import (
	"testing"

	"noisystudent/model/cuda/kernels"
	"noisystudent/model/cuda/tuning"
)

// TestGradKernels compiles the weight gradients of the tuning table: each for the
// largest kernel and stride that it takes, and those of a transposed convolution. Nothing
// may spill.
func TestGradKernels(t *testing.T) {
	c := opened(t)
	units := map[kernels.Unit]bool{}
	add := func(store, file, defines string) {
		units[kernels.Unit{File: file, Defines: "STORE=" + store + " " + defines}] = true
	}
	for _, store := range []string{"float", "bf16", "f16"} {
		for _, file := range []string{"grad_direct", "grad_pack", "grad_sum"} {
			add(store, file, "")
		}
	}
	for i, r := range tuning.ProductRules() {
		store := []string{"bf16", "f16"}[i%2]
		for _, p := range []tuning.Product{r.Product, r.Product.Narrow(), r.Product.Wide(64)} {
			add(store, "grad_mma", p.Defines(r.Kernel, r.Stride)+" BIAS=1 FIRST=0")
			if r.Stride[1] == 2 && r.Kernel[1] > 1 {
				add(store, "grad_mma", p.Defines([3]int{min(2, r.Kernel[0]), 2, 2}, r.Stride)+" BIAS=2 FIRST=0")
			}
			if r.Kernel == [3]int{1, 1, 1} {
				add(store, "grad_mma", p.Defines(r.Kernel, r.Kernel)+" BIAS=1 FIRST=1")
			}
		}
	}
	for u := range units {
		compilesWithoutSpills(t, c, u)
	}
}
