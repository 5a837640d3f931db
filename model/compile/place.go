package compile

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

// Place gives every buffer its offset in one arena, in the sizes of d's layout.
// Params, state and short inputs have memory of their own. Images and labels share with
// what is written after their last read, but not with outputs; an output shares only
// with what is dead before it is first written, so that it can be read until the next
// run; temporary buffers share by lifetime, the largest placed first, each into the
// lowest gap that it fits. Placing again, for another device, is allowed.
func Place(p *program.Program, d device.Device) error {
	lives := program.Lifetimes(p)
	order := make([]program.ID, len(p.Buffers))
	for id := range p.Buffers {
		b := &p.Buffers[id]
		b.Bytes, b.Offset = d.Bytes(*b, p.Precision), -1
		if b.Bytes < 0 {
			return fmt.Errorf("compile: place %q: device %s gives it %d bytes", b.Name, d.Name(), b.Bytes)
		}
		if b.Role == program.Input && b.Class == program.Vector {
			lives[id] = program.Life{First: -1, Last: len(p.Instrs)}
		}
		order[id] = program.ID(id)
	}
	slices.SortStableFunc(order, func(a, b program.ID) int { return cmp.Compare(p.Buffers[b].Bytes, p.Buffers[a].Bytes) })
	p.Arena = 0
	for k, id := range order {
		b := &p.Buffers[id]
		at, err := lowestGap(p, lives, order[:k], id)
		if err != nil {
			return fmt.Errorf("compile: place %q of %d bytes: %w", b.Name, b.Bytes, err)
		}
		b.Offset = at
		p.Arena = max(p.Arena, at+b.Bytes)
	}
	if err := program.Check(p); err != nil {
		return fmt.Errorf("compile: place on %s: %w", d.Name(), err)
	}
	return nil
}

// lowestGap returns the lowest offset where a buffer meets none of those already
// placed that live at the same time.
func lowestGap(p *program.Program, lives []program.Life, placed []program.ID, id program.ID) (int64, error) {
	var taken []program.Buffer
	for _, other := range placed {
		apart := lives[id].Overlaps(lives[other]) || isInput(p, id) && isOutput(p, other) || isOutput(p, id) && isInput(p, other)
		if apart && p.Buffers[other].Bytes > 0 {
			taken = append(taken, p.Buffers[other])
		}
	}
	slices.SortFunc(taken, func(a, b program.Buffer) int { return cmp.Compare(a.Offset, b.Offset) })
	var at int64
	for _, b := range taken {
		if b.Offset-at >= p.Buffers[id].Bytes {
			break
		}
		at = max(at, b.Offset+b.Bytes)
	}
	if at > math.MaxInt64/2-p.Buffers[id].Bytes {
		return 0, errors.New("the arena is too large")
	}
	return at, nil
}

func isInput(p *program.Program, id program.ID) bool { return p.Buffers[id].Role == program.Input }

func isOutput(p *program.Program, id program.ID) bool { return p.Buffers[id].Role == program.Output }

// Footprint is the planned memory of a placed program in bytes.
type Footprint struct {
	Arena   int64 // everything; what the device takes
	Params  int64
	State   int64 // of the optimiser
	Inputs  int64
	Outputs int64 // gradients included
	Temp    int64 // most that is alive at once, without gaps between buffers
	// At says where Temp is reached: the instruction and what it writes.
	At string
}

// Memory adds up a placed program.
func Memory(p *program.Program) Footprint {
	f := Footprint{Arena: p.Arena}
	change := make([]int64, len(p.Instrs)+1)
	lives := program.Lifetimes(p)
	for id, b := range p.Buffers {
		switch b.Role {
		case program.Param:
			f.Params += b.Bytes
		case program.State:
			f.State += b.Bytes
		case program.Input:
			f.Inputs += b.Bytes
		case program.Output:
			f.Outputs += b.Bytes
		case program.Temp:
			if l := lives[id]; l.First <= l.Last {
				change[l.First] += b.Bytes
				change[l.Last+1] -= b.Bytes
			}
		}
	}
	var now int64
	for t, in := range p.Instrs {
		now += change[t]
		if now > f.Temp {
			kind := strings.TrimPrefix(fmt.Sprintf("%T", in), "program.")
			f.Temp, f.At = now, kind+" "+p.Buffers[in.Writes()[0]].Name
		}
	}
	return f
}
