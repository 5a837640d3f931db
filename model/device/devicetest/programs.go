package devicetest

import (
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

// Programs returns the programs of the suite as they are placed for a device, for tests
// that only look at them.
func Programs(t *testing.T, d device.Device, precision program.Precision) []*program.Program {
	t.Helper()
	precise := preciseDevice{d, precision}
	var list []*program.Program
	for _, c := range cases() {
		list = append(list, c.build().placed(precise))
	}
	for _, c := range networkCases() {
		train, _, err := compile.Train(c.spec, c.batch, c.patch, c.loss, c.rule, c.clip)
		if err != nil {
			t.Fatal(err)
		}
		infer, _, err := compile.Infer(c.spec, c.batch, c.patch)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*program.Program{train, infer} {
			if err := compile.Place(p, precise); err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
	}
	for _, p := range list {
		p.Precision = precision
	}
	return list
}
