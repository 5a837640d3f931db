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

// RunHalf checks that what the device which open returns computes of programs of
// program.Half is within HalfTolerance.
func RunHalf(t *testing.T, open func() device.Device) {
	list := append(append(convCases(), transposedCases()...), upsampledCases()...)
	some(t, Half(open), list, func(t *testing.T, d device.Device, b *problem) { b.compare(t, d, HalfTolerance) })
	inferences(t, Half(open), 3*HalfTolerance)
}

// RunHalfExact is RunHalf with data that bfloat16 holds exactly. They must come out
// within Tolerance, which tells a wrong element from rounding. The device must not
// compute by transforms, whose points have more digits.
func RunHalfExact(t *testing.T, open func() device.Device) {
	some(t, Half(open), append(convCases(), transposedCases()...), func(t *testing.T, d device.Device, b *problem) {
		b.coarsen()
		b.compare(t, d, Tolerance)
	})
}

// some checks cases; with -short a fifth of them.
func some(t *testing.T, open func() device.Device, list []testCase, check func(*testing.T, device.Device, *problem)) {
	for k, c := range list {
		if testing.Short() && k%5 != 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			d := open()
			defer closing(t, d)
			check(t, d, c.build())
		})
	}
}

// Half makes devices whose programs all have precision program.Half.
func Half(open func() device.Device) func() device.Device { return precisely(open, program.Half) }

func precisely(open func() device.Device, p program.Precision) func() device.Device {
	return func() device.Device { return preciseDevice{open(), p} }
}

// preciseDevice gives all programs a precision.
type preciseDevice struct {
	device.Device
	precision program.Precision
}

func (d preciseDevice) Bytes(b program.Buffer, _ program.Precision) int64 {
	return d.Device.Bytes(b, d.precision)
}

func (d preciseDevice) Load(p *program.Program) (device.Loaded, error) {
	p.Precision = d.precision
	return d.Device.Load(p)
}

// RunStored is Run without the contract, for a device that stores activations in fewer
// bits when programs have that precision. Their inputs are rounded so that both sides
// start from the same: near the bend of leaky ReLU, or far from zero, a rounding of the
// inputs alone would be more than any tolerance.
func RunStored(t *testing.T, open func() device.Device, p program.Precision, tolerance float64) {
	digits := map[program.Precision]int{program.Float32: 24, program.Exact: 24, program.Half: 8, program.Float16: 11}[p]
	some(t, precisely(open, p), cases(), func(t *testing.T, d device.Device, b *problem) {
		b.round(digits)
		b.compare(t, d, tolerance)
	})
	blends(t, precisely(open, p), digits, tolerance)
}

// SameStored is Same for programs of a precision, and of two training steps of a network
// and of blended planes too.
func SameStored(t *testing.T, p program.Precision, opens ...func() device.Device) {
	for i := range opens {
		opens[i] = precisely(opens[i], p)
	}
	Same(t, opens...)
	sameSteps(t, opens)
	sameBlends(t, opens)
}

// round cuts activations to a number of binary digits.
func (b *problem) round(digits int) {
	for id, v := range b.values {
		if b.Buffers[id].Class != program.Activation {
			continue
		}
		for i, x := range v {
			fraction, exponent := math.Frexp(float64(x))
			v[i] = float32(math.Ldexp(math.RoundToEven(math.Ldexp(fraction, digits)), exponent-digits))
		}
	}
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
