package cuda_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"noisystudent/model/cuda"
	"noisystudent/model/cuda/emulator"
	"noisystudent/model/device"
	"noisystudent/model/device/devicetest"
	"noisystudent/model/program"
)

// emulated opens a card that the emulator stands in for.
func emulated(t *testing.T) func() device.Device {
	t.Helper()
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("the emulator of CUDA kernels needs g++")
	}
	e, err := emulatorOnce()
	if err != nil {
		t.Fatal(err)
	}
	return func() device.Device {
		d, err := cuda.Open(cuda.Options{Driver: e.Library(), Compiler: e})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// Compiled kernels are kept between test runs.
var emulatorOnce = sync.OnceValues(func() (*emulator.Emulator, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(cache, "noisystudent", "emulator")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	return emulator.New(folder)
})

func TestEmulated(t *testing.T) { devicetest.Run(t, emulated(t)) }

func TestEmulatedBfloat16(t *testing.T) {
	devicetest.RunStored(t, emulated(t), program.Half, devicetest.HalfTolerance)
}

func TestEmulatedFloat16(t *testing.T) {
	devicetest.RunStored(t, emulated(t), program.Float16, devicetest.HalfTolerance)
}
