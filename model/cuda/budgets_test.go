package cuda_test

import (
	"os"
	"testing"

	"noisystudent/model/cuda/kernels"
	"noisystudent/model/cuda/library"
	"noisystudent/model/cuda/nvrtc"
)

// TestKernels compiles what passes over activations and parameters: nothing may spill,
// and registers leave room for as many threads as hide the memory's latency.
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
	for _, k := range []struct {
		file, defines string
		registers     int
	}{
		{"elementwise", "", 64},
		{"norm", "WIDTH=8", 96},
		{"norm", "WIDTH=1", 64},
		{"moments", "", 64},
		{"loss", "STRIDE=8", 96},
		{"loss", "STRIDE=16", 128},
		{"loss", "STRIDE=24", 168},
		{"loss", "STRIDE=32", 200},
		{"update", "", 64},
		{"blend", "STRIDE=16", 80},
		{"blend", "STRIDE=24", 128},
	} {
		for _, store := range []string{"float", "bf16", "f16"} {
			u := kernels.Unit{File: k.file, Defines: "STORE=" + store + " " + k.defines}
			for _, arch := range []string{"sm_80", "sm_90"} {
				budget(t, c, u, arch, k.registers)
			}
		}
	}
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
