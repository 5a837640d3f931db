package cuda_test

import (
	"fmt"
	"os"
	"testing"

	"noisystudent/model/cuda/kernels"
	"noisystudent/model/cuda/library"
	"noisystudent/model/cuda/nvrtc"
	"noisystudent/model/cuda/tuning"
)

// compiler is NVIDIA's, for tests that need no card.
func compiler(t *testing.T) *nvrtc.Compiler {
	t.Helper()
	if testing.Short() {
		t.Skip("takes minutes: set NOISYSTUDENT_CUDA=all")
	}
	if leftOut() {
		t.Skip(library.ErrLeftOut)
	}
	folder := os.Getenv("NOISYSTUDENT_NVRTC")
	if folder == "" {
		t.Skip("needs NVRTC: set NOISYSTUDENT_NVRTC to the folder of libnvrtc.so (pip install nvidia-cuda-nvrtc)")
	}
	c, err := nvrtc.Open(nvrtc.Options{Path: folder})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func budget(t *testing.T, c *nvrtc.Compiler, u kernels.Unit, arch string, registers int) {
	t.Helper()
	source, err := u.Source()
	if err != nil {
		t.Fatal(err)
	}
	image, err := c.Image(arch, u.File, source)
	if err != nil {
		t.Fatal(err)
	}
	if len(image.Kernels) == 0 {
		t.Errorf("%s %s: no kernels", u, arch)
	}
	for _, k := range image.Kernels {
		t.Logf("%s %s: %s", u, arch, k)
		if k.SpillStores+k.SpillLoads+k.Stack > 0 || k.Registers < 1 || k.Registers > registers {
			t.Errorf("%s %s: %s, want no spills and 1 to %d registers", u, arch, k, registers)
		}
	}
}

// TestConvKernels compiles the convolutions of the tuning table: each of its tiles for
// the largest kernel that it takes, with every stride, and for a phase of a data
// gradient. As many blocks must fit on a multiprocessor as the tile says.
func TestConvKernels(t *testing.T) {
	c := compiler(t)
	units := map[kernels.Unit]int{{File: "conv_direct", Defines: "STORE=float"}: 64}
	add := func(registers int, file, defines string) {
		for _, store := range []string{"bf16", "f16"} {
			units[kernels.Unit{File: file, Defines: "STORE=" + store + " " + defines}] = registers
		}
	}
	add(64, "conv_sum", "")
	add(64, "conv_direct", "")
	for _, r := range tuning.Rules() {
		registers := min(255, 65536/(r.Tile.Threads()*r.Tile.Blocks))
		add(64, "conv_pack", fmt.Sprintf("TILES=%d", r.Tile.Tiles))
		add(registers, "conv_first", r.Tile.Defines(r.Kernel, [3]int{1, 1, 1}))
		for h := range r.Stride[1] {
			for w := range r.Stride[2] {
				add(registers, "conv_mma", r.Tile.Defines(r.Kernel, [3]int{1, 1 + h, 1 + w}))
			}
		}
		if r.Kernel[1] > 1 {
			add(registers, "conv_mma", r.Tile.Defines([3]int{1, 2, 1}, [3]int{1, 1, 1}))
		}
	}
	for u, registers := range units {
		for _, arch := range []string{"sm_80", "sm_90"} {
			budget(t, c, u, arch, registers)
		}
	}
}

// TestGradKernels compiles the weight gradients of the tuning table: each for the
// largest kernel and stride that it takes, and those of a transposed convolution.
func TestGradKernels(t *testing.T) {
	c := compiler(t)
	units := map[kernels.Unit]int{}
	add := func(registers int, store, file, defines string) {
		units[kernels.Unit{File: file, Defines: "STORE=" + store + " " + defines}] = registers
	}
	for _, store := range []string{"float", "bf16", "f16"} {
		for _, file := range []string{"grad_direct", "grad_pack", "grad_sum"} {
			add(64, store, file, "")
		}
	}
	for i, r := range tuning.ProductRules() {
		store := []string{"bf16", "f16"}[i%2]
		for _, p := range []tuning.Product{r.Product, r.Product.Narrow(), r.Product.Wide(64)} {
			product := func(taps, stride [3]int, defines string) {
				add(min(255, 65536/(p.Threads(taps)*p.Blocks)), store, "grad_mma", p.Defines(taps, stride)+defines)
			}
			product(r.Kernel, r.Stride, " BIAS=1 FIRST=0")
			if r.Stride[1] == 2 && r.Kernel[1] > 1 {
				product([3]int{min(2, r.Kernel[0]), 2, 2}, r.Stride, " BIAS=2 FIRST=0")
			}
			if r.Kernel == [3]int{1, 1, 1} {
				product(r.Kernel, r.Kernel, " BIAS=1 FIRST=1")
			}
		}
	}
	for u, registers := range units {
		for _, arch := range []string{"sm_80", "sm_90"} {
			budget(t, c, u, arch, registers)
		}
	}
}
