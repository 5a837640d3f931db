package cuda_test

import (
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/cuda"
	"noisystudent/model/program"
	"noisystudent/model/ref"
)

// A profile names every instruction's kernels, with one time a run, and a plan counts
// the same launches.
func TestProfile(t *testing.T) {
	d := emulated(t)()
	defer d.Close()
	p := &program.Program{Precision: program.Float16}
	a := p.New("a", program.Activation, program.Input, 1, 8, 2, 3, 5)
	sum := p.New("sum", program.Activation, program.Output, 1, 8, 2, 3, 5)
	p.Emit(program.Add{A: a, B: a, Out: sum}, program.Add{A: sum, B: a, Out: sum})
	if err := compile.Place(p, d); err != nil {
		t.Fatal(err)
	}
	plan, err := cuda.PlanOf(p)
	if err != nil {
		t.Fatal(err)
	}
	l, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Write(a, make([]float32, p.Buffers[a].Len())); err != nil {
		t.Fatal(err)
	}
	list, err := cuda.Profile(l, 3)
	if err != nil {
		t.Fatal(err)
	}
	launches := 0
	for i, took := range list {
		launches += len(took.Kernels)
		if took.Instr != i-1 || len(took.Times) != 3 || took.Times[0] < 0 || i > 0 && len(took.Kernels) == 0 {
			t.Errorf("%d: %+v", i, took)
		}
	}
	if len(list) != 3 || launches != plan.Launches {
		t.Errorf("%d parts with %d launches, want 3 with %d", len(list), launches, plan.Launches)
	}
	other, err := ref.New().Load(p)
	if err == nil {
		_, err = cuda.Profile(other, 1)
	}
	if err == nil {
		t.Error("a program of another device is profiled")
	}
}
