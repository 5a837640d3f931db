package cuda

import (
	"fmt"
	"slices"

	"noisystudent/model/cuda/kernels"
	"noisystudent/model/program"
)

// Plan is what a placed program takes of a card. It is made without one.
type Plan struct {
	Memory   int64          // bytes of the card, all that Load takes
	Host     int64          // bytes of page-locked memory
	Launches int            // kernels of a run
	Units    []kernels.Unit // to be compiled, each once

	// bytes; temp is the part of scratch that instructions share, front is page-locked and
	// twice of the card
	scratch, temp, exchange, front int64
}

// PlanOf plans a program that is placed for a Device, be it the zero Device.
func PlanOf(p *program.Program) (Plan, error) {
	plan, err := (&loaded{d: &Device{}, p: p, store: storeOf(p.Precision)}).plan()
	if err != nil {
		return Plan{}, fmt.Errorf("cuda: plan: %w", err)
	}
	return plan, nil
}

func (l *loaded) plan() (Plan, error) {
	w := &lowering{l: l, measuring: true}
	if err := w.all(); err != nil {
		return Plan{}, err
	}
	plan := Plan{Launches: len(w.launches), scratch: w.bytes(), temp: w.most}
	var inputs int64
	for _, b := range l.p.Buffers {
		bytes := aligned(4 * int64(b.Len()))
		plan.exchange = max(plan.exchange, bytes)
		if b.Role == program.Input {
			inputs += bytes
		}
		if inFront(b) {
			plan.front += frontBytes(b)
		}
	}
	plan.exchange = max(plan.exchange, alignment)
	plan.Host = max(plan.exchange, inputs) + plan.front
	plan.Memory = max(l.p.Arena, alignment) + max(plan.scratch, alignment) + plan.exchange + 2*plan.front
	copies := &lowering{l: l, measuring: true} // as Write and Read make them
	copies.each("elementwise", "pack", 1)
	for _, u := range append(w.units, copies.units...) {
		if !slices.Contains(plan.Units, u) {
			plan.Units = append(plan.Units, u)
		}
	}
	return plan, nil
}

// Memory returns the bytes of the card that Load takes for a placed program.
func (d *Device) Memory(p *program.Program) (int64, error) {
	plan, err := PlanOf(p)
	return plan.Memory, err
}

// Reduced lists the precisions of 16 bits that the device computes in, the paper's first.
func (d *Device) Reduced() []program.Precision {
	return []program.Precision{program.Float16, program.Half}
}
