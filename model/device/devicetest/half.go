package devicetest

import (
	"math"
	"testing"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

// HalfTolerance is what a device is allowed that rounds factors to bfloat16, whose
// step is 2^-8 of a value.
const HalfTolerance = 1e-2

// RunHalf checks a device that open returns, for programs of program.Half: within
// HalfTolerance with any data, and within Tolerance where bfloat16 holds every
// factor exactly, which tells a wrong element from rounding.
func RunHalf(t *testing.T, open func() device.Device) {
	open = Half(open)
	for k, c := range append(convCases(), transposedCases()...) {
		if testing.Short() && k%5 != 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			d := open()
			defer closing(t, d)
			c.build().compare(t, d, HalfTolerance)
			b := c.build()
			b.coarsen()
			b.compare(t, d, Tolerance)
		})
	}
	t.Run("inference", func(t *testing.T) { inferences(t, open, 3*HalfTolerance) })
}

// Half makes devices whose programs all have precision program.Half.
func Half(open func() device.Device) func() device.Device {
	return func() device.Device { return halfDevice{open()} }
}

type halfDevice struct{ device.Device }

func (d halfDevice) Load(p *program.Program) (device.Loaded, error) {
	p.Precision = program.Half
	return d.Device.Load(p)
}

// coarsen rounds all data to quarters and keeps them within 2: scaled, shifted and
// multiplied by the suite's slope they have at most 8 binary digits.
func (b *problem) coarsen() {
	for _, v := range b.values {
		for i, x := range v {
			v[i] = float32(math.Round(4*max(-2, min(2, float64(x))))) / 4
		}
	}
}
