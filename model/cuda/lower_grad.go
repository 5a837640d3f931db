package cuda

import "noisystudent/model/program"

func (w *lowering) convWeightGrad(in program.ConvWeightGrad) { w.missing() }

func (w *lowering) convDataGrad(in program.ConvDataGrad) { w.missing() }

func (w *lowering) convTransposedWeightGrad(in program.ConvTransposedWeightGrad) { w.missing() }

func (w *lowering) convTransposedDataGrad(in program.ConvTransposedDataGrad) { w.missing() }
