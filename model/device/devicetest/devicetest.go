// Package devicetest is the conformance suite of devices: every instruction with
// random data and awkward shapes, run on the device and, in float64, by package
// ref, which defines it.
//
// A comparison is of a whole buffer: the largest difference, divided by the
// largest reference value, must stay below a tolerance. Buffers are placed with
// guards between them that must come back untouched, and on memory full of NaN,
// so that a kernel which writes past an end or counts on zeros is found.
package devicetest

import (
	"fmt"
	"slices"
	"testing"

	"noisystudent/model/device"
)

// Tolerance is what a float32 device is allowed: about 100 roundings of the
// largest value of a buffer.
const Tolerance = 1e-5

// Run checks that the device which open returns computes what package ref
// defines, within Tolerance. Each subtest opens a device of its own. With -short it
// takes a fifth of the cases.
func Run(t *testing.T, open func() device.Device) { RunWithin(t, open, Tolerance) }

// RunWithin is Run for a device that computes or stores in fewer bits.
func RunWithin(t *testing.T, open func() device.Device, tolerance float64) {
	for k, c := range cases() {
		if testing.Short() && k%5 != 0 && !c.always {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			d := open()
			defer closing(t, d)
			c.build().compare(t, d, tolerance)
		})
	}
	blends(t, open, 24, tolerance)
	networks(t, open, max(networkTolerance, 20*tolerance))
	t.Run("contract", func(t *testing.T) { contract(t, open) })
	t.Run("repeats", func(t *testing.T) { Same(t, open, open) })
}

// Same checks that devices, for example one for every number of threads, give the
// same bytes, and a program without state the same in a second run.
func Same(t *testing.T, opens ...func() device.Device) {
	for k, c := range cases() {
		if !c.always && (testing.Short() || k%3 != 0) {
			continue
		}
		var first [][][]float32
		for i, open := range opens {
			d := open()
			got := c.build().results(t, d, 2)
			closing(t, d)
			if first == nil {
				first = slices.Clone(got)
				if stateless := c.build().runs == 1; stateless {
					first[1] = first[0]
				}
			}
			for run := range got {
				if err := sameBytes(got[run], first[run]); err != nil {
					t.Errorf("%s: device %d, run %d: %v", c.name, i, run, err)
				}
			}
		}
	}
}

func sameBytes(got, want [][]float32) error {
	for b := range got {
		if at := differs(got[b], want[b]); at >= 0 {
			return fmt.Errorf("result %d differs at %d: %g, first was %g", b, at, got[b][at], want[b][at])
		}
	}
	return nil
}

// testCase is one program with its data. The always flag puts it among those of Same.
type testCase struct {
	name   string
	build  func() *problem
	always bool
}

func cases() []testCase {
	var all []testCase
	all = append(all, convCases()...)
	all = append(all, transposedCases()...)
	all = append(all, upsampledCases()...)
	all = append(all, normCases()...)
	all = append(all, lossCases()...)
	all = append(all, vectorCases()...)
	return all
}

func closing(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// run loads the problem, runs it n times and returns the results of each run.
func (b *problem) results(t *testing.T, d device.Device, n int) [][][]float32 {
	t.Helper()
	l, err := d.Load(b.placed(d))
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	defer closing(t, l)
	b.writeGuards(t, l)
	var runs [][][]float32
	for run := range n {
		b.poison(t, l)
		b.write(t, l, run == 0)
		if err := l.Run(t.Context()); err != nil {
			t.Fatalf("run: %v", err)
		}
		runs = append(runs, b.read(t, l))
	}
	b.checkGuards(t, l)
	return runs
}
