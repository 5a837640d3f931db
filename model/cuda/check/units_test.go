package check

import (
	"testing"

	"noisystudent/model/cuda"
	"noisystudent/model/cuda/kernels"
	"noisystudent/model/device/devicetest"
	"noisystudent/model/program"
)

// units are those that the suite launches in each store, and the cases in half precision.
func units(t *testing.T) []kernels.Unit {
	t.Helper()
	layout := &cuda.Device{}
	var programs []*program.Program
	for _, p := range []program.Precision{program.Float32, program.Float16, program.Half} {
		programs = append(programs, devicetest.Programs(t, layout, p)...)
	}
	for _, c := range Cases() {
		p, _, err := c.program(layout, program.Float16)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	seen := map[kernels.Unit]bool{}
	var list []kernels.Unit
	for _, p := range programs {
		plan, err := cuda.PlanOf(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range plan.Units {
			if !seen[u] {
				seen[u] = true
				list = append(list, u)
			}
		}
	}
	return list
}
