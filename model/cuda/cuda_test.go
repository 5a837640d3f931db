package cuda_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/cuda"
	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/emulator"
	"noisystudent/model/cuda/library"
	"noisystudent/model/device"
	"noisystudent/model/device/devicetest"
	"noisystudent/model/program"
)

// emulatedOptions open a card that the emulator stands in for.
func emulatedOptions(t *testing.T) cuda.Options {
	t.Helper()
	e := emulator.Here(t)
	return cuda.Options{Driver: e.Library(), Compiler: e}
}

func emulated(t *testing.T) func() device.Device {
	t.Helper()
	o := emulatedOptions(t)
	return func() device.Device {
		d, err := cuda.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// checked opens devices that fail where runs leave something in padding channels.
func checked(t *testing.T) func() device.Device {
	t.Helper()
	open := emulated(t)
	return func() device.Device { return cuda.Checked{Device: open().(*cuda.Device)} }
}

func TestEmulated(t *testing.T) { devicetest.Run(t, checked(t)) }

func TestEmulatedBfloat16(t *testing.T) {
	devicetest.RunStored(t, checked(t), program.Half, devicetest.HalfTolerance)
}

func TestEmulatedFloat16(t *testing.T) {
	devicetest.RunStored(t, checked(t), program.Float16, devicetest.HalfTolerance)
}

// TestChecked is the conformance suite with every access of the kernels checked.
func TestChecked(t *testing.T) {
	if os.Getenv("NOISYSTUDENT_CHECKED") == "" {
		t.Skip("takes minutes: set NOISYSTUDENT_CHECKED=1")
	}
	o := emulatedOptions(t)
	o.Compiler = o.Compiler.(*emulator.Emulator).Checked()
	open := func() device.Device {
		d, err := cuda.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	devicetest.Run(t, open)
	for _, p := range []program.Precision{program.Half, program.Float16} {
		devicetest.RunStored(t, open, p, devicetest.HalfTolerance)
	}
}

// TestSchedules checks that the order in which warps run changes no byte, in all stores.
func TestSchedules(t *testing.T) {
	_, control := controlled(t)
	open := emulated(t)
	seeded := func(seed uint64) func() device.Device {
		return func() device.Device {
			control.Seed(seed)
			return open()
		}
	}
	for name, p := range map[string]program.Precision{"float32": program.Float32, "bfloat16": program.Half, "float16": program.Float16} {
		t.Run(name, func(t *testing.T) { devicetest.SameStored(t, p, seeded(1), seeded(2), seeded(3)) })
	}
}

// TestSum checks copies, the layout and a sum in each of the stores, with numbers that
// all of them hold.
func TestSum(t *testing.T) {
	open := emulated(t)
	for _, precision := range []program.Precision{program.Float32, program.Half, program.Float16} {
		for _, channels := range []int{1, 3, 8, 14} {
			d := open()
			p := &program.Program{Precision: precision}
			shape := []int{2, channels, 3, 2, 5}
			a := p.New("a", program.Activation, program.Input, shape...)
			b := p.New("b", program.Activation, program.Input, shape...)
			sum := p.New("sum", program.Activation, program.Output, shape...)
			p.Emit(program.Add{A: a, B: b, Out: sum})
			if err := compile.Place(p, d); err != nil {
				t.Fatal(err)
			}
			l, err := d.Load(p)
			if err != nil {
				t.Fatal(err)
			}
			x, y := make([]float32, p.Buffers[a].Len()), make([]float32, p.Buffers[a].Len())
			for i := range x {
				x[i], y[i] = float32(i%97), float32(i%31)
			}
			got, plane := make([]float32, len(x)), make([]float32, channels*10)
			const at = 4 // the second case's second
			for _, err := range []error{l.Write(a, x), l.Write(b, y), l.Run(t.Context()), l.Read(sum, got), l.ReadPlane(sum, at, plane), l.Close(), d.Close()} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for i := range got {
				if want := x[i] + y[i]; got[i] != want {
					t.Fatalf("precision %d, %d channels: element %d is %g, want %g", precision, channels, i, got[i], want)
				}
			}
			for i, v := range plane {
				if want := got[((1*channels+i/10)*3+1)*10+i%10]; v != want {
					t.Fatalf("precision %d, %d channels: element %d of a plane is %g, want %g", precision, channels, i, v, want)
				}
			}
		}
	}
}

// leftOut reports whether this binary is built without CUDA.
func leftOut() bool {
	_, err := library.Open("", false)
	return errors.Is(err, library.ErrLeftOut)
}

func TestNoDriver(t *testing.T) {
	_, err := cuda.Open(cuda.Options{Driver: filepath.Join(t.TempDir(), "libcuda.so.1")})
	remedy := "install NVIDIA's driver"
	if leftOut() {
		remedy = "take one that is built with it"
	}
	if missing := (*driver.MissingError)(nil); !errors.As(err, &missing) || !strings.Contains(err.Error(), remedy) {
		t.Errorf("open: %v, want the remedy", err)
	}
}
