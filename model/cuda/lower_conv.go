package cuda

import "noisystudent/model/program"

func (w *lowering) conv(in program.Conv) { w.missing() }

func (w *lowering) convTransposed(in program.ConvTransposed) { w.missing() }
