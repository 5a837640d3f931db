package cuda

import (
	"encoding/binary"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/program"
)

// Gradients and parameters are many and most of them small: kernels take all at once,
// cut into pieces of at most pieceLen elements, from a table in the card's memory.
const pieceLen = 8192

// pieces is a table with a row for each piece: where it starts in each of the buffers
// of a group, and its length.
func (w *lowering) pieces(groups [][]program.ID) (table driver.Pointer, rows int) {
	var words []byte
	for _, group := range groups {
		total := w.l.p.Buffers[group[0]].Len()
		for from := 0; from < total; from += pieceLen {
			for _, id := range group {
				at := uint64(0)
				if id != program.None {
					at = uint64(w.at(id)) + uint64(4*from)
				}
				words = binary.LittleEndian.AppendUint64(words, at)
			}
			words = binary.LittleEndian.AppendUint64(words, uint64(min(pieceLen, total-from)))
			rows++
		}
	}
	return w.table(words), rows
}

// table keeps bytes in the card's memory.
func (w *lowering) table(bytes []byte) driver.Pointer {
	table := w.keep(int64(len(bytes)))
	for at := 0; at < len(bytes) && w.err == nil && !w.measuring; {
		n := min(len(bytes)-at, len(w.l.staging))
		w.err = w.l.upload(table+driver.Pointer(at), bytes[at:at+n])
		at += n
	}
	return table
}

func (w *lowering) gradNorm(in program.GradNorm) {
	var groups [][]program.ID
	for _, id := range in.Grads {
		groups = append(groups, []program.ID{id})
	}
	table, rows := w.pieces(groups)
	sums := w.temp(8 * int64(rows))
	if rows > 0 {
		w.launch("update", "", "squares", [3]int{rows, 1, 1}, threads256, 0, table, sums)
	}
	w.launch("update", "", "grad_norm", [3]int{1, 1, 1}, threads256, 0, sums, int32(rows), w.at(in.Seed), w.at(in.Out), in.MaxNorm)
}

// update launches the first of consecutive updates of one rule for all of them.
func (w *lowering) update(in program.Update) {
	same := func(t int) bool {
		if t < 0 || t >= len(w.l.p.Instrs) {
			return false
		}
		other, ok := w.l.p.Instrs[t].(program.Update)
		return ok && other.Rule == in.Rule && other.Hyper == in.Hyper && other.Norm == in.Norm
	}
	first := len(w.until)
	if same(first - 1) {
		return
	}
	var groups [][]program.ID
	for t := first; same(t); t++ {
		u := w.l.p.Instrs[t].(program.Update)
		group := append([]program.ID{u.Param, u.Grad}, u.State...)
		if len(u.State) == 1 {
			group = append(group, program.None)
		}
		groups = append(groups, group)
	}
	name := "sgd"
	if in.Rule == program.AdamW {
		name = "adamw"
	}
	table, rows := w.pieces(groups)
	w.launch("update", "", name, [3]int{rows, 1, 1}, threads256, 0, table, w.at(in.Hyper), w.at(in.Norm))
}
