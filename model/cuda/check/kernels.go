package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"noisystudent/model/cuda"
	"noisystudent/model/cuda/driver"
	"noisystudent/model/program"
)

// Kernel is what one instruction of a program took beside what it asks for.
type Kernel struct {
	Case    string   `json:"case"`
	Instr   string   `json:"instruction"`
	Kernels []string `json:"kernels"`
	Min     float64  `json:"min"` // seconds
	Median  float64  `json:"median"`
	FLOP    int64    `json:"flop"`
	Bytes   int64    `json:"bytes"`           // at the least
	OfLimit float64  `json:"of_limit"`        // time at the card's limits by the median; 0: not known
	Share   float64  `json:"share"`           // of all instructions' time
	Bound   string   `json:"bound,omitempty"` // tensor or memory
}

// Kernels loads the program of a case and profiles it, the slowest instructions first.
func Kernels(d *cuda.Device, c Case, runs int) ([]Kernel, error) {
	p, names, err := c.program(d, program.Float16)
	if err != nil {
		return nil, err
	}
	l, err := d.Load(p)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	images, labels := data(c.Patch, c.Batch, c.Spec.Classes, 0)
	if err := l.Write(names.Image, images); err != nil {
		return nil, err
	}
	if c.Train {
		if err := l.WriteLabels(names.Labels, labels); err != nil {
			return nil, err
		}
		if err := l.Write(names.Seed, []float32{1}); err != nil {
			return nil, err
		}
	}
	if _, err := cuda.Profile(l, 1); err != nil { // warm
		return nil, err
	}
	took, err := cuda.Profile(l, runs)
	if err != nil {
		return nil, err
	}
	return table(p, c.Name, took, d.Card()), nil
}

func table(p *program.Program, name string, took []cuda.Took, card driver.Card) []Kernel {
	var list []Kernel
	total := 0.0
	for _, t := range took {
		if t.Instr >= 0 && len(t.Kernels) == 0 { // the launches of the one before do its work too
			last := &list[len(list)-1]
			flop, bytes := p.Cost(p.Instrs[t.Instr])
			last.FLOP, last.Bytes = last.FLOP+flop, last.Bytes+bytes
			last.limit(card)
			continue
		}
		k := Kernel{Case: name, Instr: "pack weights", Kernels: t.Kernels}
		if t.Instr >= 0 {
			in := p.Instrs[t.Instr]
			k.FLOP, k.Bytes = p.Cost(in)
			k.Instr = fmt.Sprintf("%s %s", strings.TrimPrefix(fmt.Sprintf("%T", in), "program."), p.Buffers[in.Writes()[0]].Name)
		}
		var seconds []float64
		for _, d := range t.Times {
			seconds = append(seconds, d.Seconds())
		}
		k.Min, k.Median = slices.Min(seconds), median(seconds)
		k.limit(card)
		total += k.Median
		list = append(list, k)
	}
	for i := range list {
		list[i].Share = list[i].Median / max(total, 1e-12)
	}
	slices.SortStableFunc(list, func(a, b Kernel) int { return cmp.Compare(b.Median, a.Median) })
	return list
}

// limit compares with the card's limits, where they are known.
func (k *Kernel) limit(card driver.Card) {
	if card.TensorFLOPS() == 0 || card.BytesPerSecond() == 0 || k.Median == 0 {
		return
	}
	tensor, memory := float64(k.FLOP)/card.TensorFLOPS(), float64(k.Bytes)/card.BytesPerSecond()
	k.Bound = "memory"
	if tensor > memory {
		k.Bound = "tensor"
	}
	k.OfLimit = max(tensor, memory) / k.Median
}
