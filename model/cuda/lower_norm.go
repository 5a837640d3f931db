package cuda

import "noisystudent/model/program"

func (w *lowering) moments(in program.Moments) { w.missing() }

func (w *lowering) normScale(in program.NormScale) { w.missing() }

func (w *lowering) normAct(in program.NormAct) { w.missing() }

func (w *lowering) normGrad(in program.NormGrad) { w.missing() }

func (w *lowering) concat(in program.Concat) { w.missing() }

func (w *lowering) labelsNearest(in program.LabelsNearest) { w.missing() }

func (w *lowering) add(in program.Add) {
	if w.l.p.Buffers[in.Out].Class != program.Activation {
		w.missing() // of vectors and kernels
		return
	}
	s := w.shape(in.Out)
	n := int64(s[0]*s[2]*s[3]*s[4]) * int64(stride(s[1]))
	w.each("elementwise", "add", n, w.at(in.A), w.at(in.B), w.at(in.Out), n)
}
