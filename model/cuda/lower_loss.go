package cuda

import "noisystudent/model/program"

func (w *lowering) diceCE(in program.DiceCE) { w.missing() }

func (w *lowering) diceCEGrad(in program.DiceCEGrad) { w.missing() }

func (w *lowering) weightedSum(in program.WeightedSum) { w.missing() }
