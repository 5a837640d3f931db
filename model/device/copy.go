package device

import (
	"fmt"

	"noisystudent/model/program"
)

// CheckCopy reports why n elements cannot be copied to or from a buffer; labels
// says which of the two kinds of copy it is. Every device calls it first, so that
// all of them refuse the same.
func CheckCopy(p *program.Program, id program.ID, n int, labels bool) error {
	if id < 0 || int(id) >= len(p.Buffers) {
		return fmt.Errorf("no buffer %d", id)
	}
	b := p.Buffers[id]
	if (b.Class == program.Labels) != labels {
		return fmt.Errorf("buffer %q is %s", b.Name, b.Class)
	}
	if n != b.Len() {
		return fmt.Errorf("buffer %q has %d elements, got %d", b.Name, b.Len(), n)
	}
	return nil
}

// CheckPlane is CheckCopy for n elements of one plane of an Activation.
func CheckPlane(p *program.Program, id program.ID, plane, n int) error {
	if id < 0 || int(id) >= len(p.Buffers) {
		return fmt.Errorf("no buffer %d", id)
	}
	b := p.Buffers[id]
	if b.Class != program.Activation {
		return fmt.Errorf("buffer %q is %s and has no planes", b.Name, b.Class)
	}
	s := b.Shape
	if plane < 0 || plane >= s[0]*s[2] {
		return fmt.Errorf("buffer %q has no plane %d in %v", b.Name, plane, s)
	}
	if n != s[1]*s[3]*s[4] {
		return fmt.Errorf("planes of buffer %q have %d elements, got %d", b.Name, s[1]*s[3]*s[4], n)
	}
	return nil
}
