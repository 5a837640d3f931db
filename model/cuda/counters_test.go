package cuda_test

import (
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/cuda"
	"noisystudent/model/program"
)

// Counters count runs, bytes and memory, and memory that is given back.
func TestCounters(t *testing.T) {
	d, err := cuda.Open(emulatedOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p := &program.Program{}
	x := p.New("x", program.Vector, program.Input, 100)
	sum := p.New("sum", program.Vector, program.Output, 100)
	p.Emit(program.WeightedSum{Terms: []program.ID{x}, Weights: []float32{2}, Out: sum})
	if err := compile.Place(p, d); err != nil {
		t.Fatal(err)
	}
	want, err := d.Memory(p)
	if err != nil {
		t.Fatal(err)
	}
	l, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	if c := d.Counters(); c.Memory != want || c.Peak != want || c.Runs != 0 {
		t.Errorf("loaded: %+v, planned were %d bytes", c, want)
	}
	before, values := d.Counters(), make([]float32, 100)
	for _, err := range []error{l.Write(x, values), l.Run(t.Context()), l.Run(t.Context()), l.Read(sum, values), l.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := d.Counters()
	if c.Runs != 2 || c.Seconds <= 0 || c.Up-before.Up != 400 || c.Down != 400 || c.Memory != 0 || c.Peak != want || c.Name == "" {
		t.Errorf("at the end: %+v", c)
	}
	if sum := c.Add(c); sum.Runs != 4 || sum.Seconds != 2*c.Seconds || sum.Up != 2*c.Up || sum.Down != 800 || sum.Peak != want || sum.Memory != 0 {
		t.Errorf("twice: %+v", sum)
	}
}
