package cuda

import "noisystudent/model/program"

func (w *lowering) gradNorm(in program.GradNorm) { w.missing() }

func (w *lowering) update(in program.Update) { w.missing() }
