package cuda_test

import (
	"os"
	"testing"

	"noisystudent/model/cuda/kernels"
	"noisystudent/model/cuda/library"
	"noisystudent/model/cuda/nvrtc"
)

// TestKernels compiles what the device launches today: nothing may spill.
func TestKernels(t *testing.T) {
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
	for _, store := range []string{"float", "bf16", "f16"} {
		u := kernels.Unit{File: "elementwise", Defines: "STORE=" + store}
		source, err := u.Source()
		if err != nil {
			t.Fatal(err)
		}
		for _, arch := range []string{"sm_80", "sm_90"} {
			image, err := c.Image(arch, u.File, source)
			if err != nil {
				t.Fatal(err)
			}
			if len(image.Kernels) != 3 {
				t.Errorf("%s %s: kernels %v, want pack, unpack and add", u, arch, image.Kernels)
			}
			for _, k := range image.Kernels {
				t.Logf("%s %s: %s", u, arch, k)
				if k.SpillStores+k.SpillLoads+k.Stack > 0 || k.Registers < 1 || k.Registers > 64 {
					t.Errorf("%s %s: %s, want no spills and 1 to 64 registers", u, arch, k)
				}
			}
		}
	}
}
