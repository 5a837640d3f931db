package nvrtc_test

import (
	"errors"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/cuda"
	"noisystudent/model/cuda/kernels"
	"noisystudent/model/cuda/library"
	"noisystudent/model/cuda/nvrtc"
	"noisystudent/model/device/devicetest"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// launched are the units of all programs of the conformance suite, and of networks for
// abdominal organs and their tiles, in all stores.
func launched(t *testing.T) []kernels.Unit {
	t.Helper()
	d, found := &cuda.Device{}, map[kernels.Unit]bool{}
	for _, precision := range []program.Precision{program.Float32, program.Half, program.Float16} {
		programs := organs(t, d, precision)
		if !testing.Short() {
			programs = append(programs, devicetest.Programs(t, d, precision)...)
		}
		for _, p := range programs {
			plan, err := cuda.PlanOf(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range plan.Units {
				found[u] = true
			}
		}
	}
	for _, store := range []string{"float", "bf16", "f16"} {
		found[kernels.Unit{File: "blend", Defines: "STORE=" + store + " "}] = true
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b kernels.Unit) int { return strings.Compare(a.File+a.Defines, b.File+b.Defines) })
}

// organs are training and inference of a network of six stages.
func organs(t *testing.T, d *cuda.Device, precision program.Precision) []*program.Program {
	t.Helper()
	flat, cube := [3]int{1, 3, 3}, [3]int{3, 3, 3}
	var list []*program.Program
	for _, features := range [][]int{{16, 32, 64, 128, 256, 320}, {32, 64, 128, 256, 320, 320}} {
		spec := unet.Spec{
			InChannels: 1, Classes: 14, Features: features, Kernels: [][3]int{flat, cube, cube, cube, cube, cube},
			Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}},
			ConvsEncoder: slices.Repeat([]int{2}, 6), ConvsDecoder: slices.Repeat([]int{2}, 5), DeepSupervision: true,
		}
		patch := [3]int{40, 224, 192}
		train, _, err := compile.Train(spec, 2, patch, compile.LossConfig{BatchDice: true, Ignore: -1}, program.SGD, 12)
		if err != nil {
			t.Fatal(err)
		}
		infer, _, err := compile.Infer(spec, 1, patch)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*program.Program{train, infer} {
			p.Precision = precision
			if err := compile.Place(p, d); err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
	}
	return list
}

// TestBudgets needs no compiler: each unit that can be launched has a budget.
func TestBudgets(t *testing.T) {
	units := launched(t)
	t.Logf("%d units", len(units))
	if len(units) < 20 {
		t.Error("the suite launches hardly anything")
	}
	for _, u := range units {
		if u.Registers() == 0 {
			t.Errorf("%s %s has no line in the table of budgets: compile it (NOISYSTUDENT_NVRTC), look and add one", u.File, u.Defines)
		}
	}
}

// TestKernels compiles all that can be launched and keeps to the budgets; with -short,
// what the networks of organs launch. Cards of workstations (sm_86, sm_89) have their turn
// in gpucheck --build and in the long run. The code stays in the user's cache folder, for the first
// time takes minutes.
func TestKernels(t *testing.T) {
	folder := os.Getenv("NOISYSTUDENT_NVRTC")
	if folder == "" {
		t.Skip("needs NVRTC: set NOISYSTUDENT_NVRTC to the folder of libnvrtc.so (pip install nvidia-cuda-nvrtc)")
	}
	c, err := nvrtc.Open(nvrtc.Options{Path: folder})
	if errors.Is(err, library.ErrLeftOut) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	archs := []string{"sm_80", "sm_90"}
	if !testing.Short() {
		archs = append(archs, "sm_86", "sm_89")
	}
	var work sync.WaitGroup
	slots := make(chan bool, runtime.GOMAXPROCS(0))
	for _, u := range launched(t) {
		for _, arch := range archs {
			work.Go(func() {
				slots <- true
				defer func() { <-slots }()
				if err := within(t, c, u, arch); err != nil {
					t.Errorf("%s %s for %s: %v", u.File, u.Defines, arch, err)
				}
			})
		}
	}
	work.Wait()
}

func within(t *testing.T, c *nvrtc.Compiler, u kernels.Unit, arch string) error {
	source, err := u.Source()
	if err != nil {
		return err
	}
	image, err := c.Image(arch, u.File, source)
	if err != nil {
		return err
	}
	if len(image.Kernels) == 0 {
		return errors.New("no kernel")
	}
	for _, k := range image.Kernels {
		t.Logf("%s %s %s: %s", u.File, u.Defines, arch, k)
		if most := u.Registers(); k.SpillStores+k.SpillLoads+k.Stack > 0 || k.Registers < 1 || k.Registers > most {
			t.Errorf("%s %s for %s: %s, want no spills and 1 to %d registers", u.File, u.Defines, arch, k, most)
		}
	}
	return nil
}
