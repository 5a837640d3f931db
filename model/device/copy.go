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
