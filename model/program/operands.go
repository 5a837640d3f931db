package program

func ids(list ...ID) []ID {
	out := make([]ID, 0, len(list))
	for _, id := range list {
		if id != None {
			out = append(out, id)
		}
	}
	return out
}

func views(list []View, more ...ID) []ID {
	for _, v := range list {
		more = append(more, v.Buf, v.Norm)
		if v.Up != nil {
			more = append(more, v.Up.Weight, v.Up.Bias)
		}
	}
	return ids(more...)
}

func (i Conv) Reads() []ID  { return views(i.In, i.Weight, i.Bias) }
func (i Conv) Writes() []ID { return ids(i.Out, i.Moments) }

func (i ConvTransposed) Reads() []ID  { return ids(i.In.Buf, i.In.Norm, i.Weight, i.Bias) }
func (i ConvTransposed) Writes() []ID { return ids(i.Out) }

func (i Moments) Reads() []ID  { return ids(i.In) }
func (i Moments) Writes() []ID { return ids(i.Out) }

func (i NormScale) Reads() []ID  { return ids(i.Moments, i.Gamma, i.Beta) }
func (i NormScale) Writes() []ID { return ids(i.Out) }

func (i NormAct) Reads() []ID  { return ids(i.In.Buf, i.In.Norm) }
func (i NormAct) Writes() []ID { return ids(i.Out) }

func (i Concat) Reads() []ID  { return views(i.In) }
func (i Concat) Writes() []ID { return ids(i.Out) }

func (i ConvWeightGrad) Reads() []ID  { return views(i.In, i.DOut) }
func (i ConvWeightGrad) Writes() []ID { return ids(i.DWeight, i.DBias) }

func (i ConvDataGrad) Reads() []ID {
	r := ids(i.DOut, i.Weight)
	for k, id := range i.DIn {
		if id != None && i.Accumulate[k] {
			r = append(r, id)
		}
	}
	return r
}
func (i ConvDataGrad) Writes() []ID { return ids(i.DIn...) }

func (i ConvTransposedWeightGrad) Reads() []ID  { return ids(i.In.Buf, i.In.Norm, i.DOut) }
func (i ConvTransposedWeightGrad) Writes() []ID { return ids(i.DWeight, i.DBias) }

func (i ConvTransposedDataGrad) Reads() []ID {
	if i.Accumulate {
		return ids(i.DOut, i.Weight, i.DIn)
	}
	return ids(i.DOut, i.Weight)
}
func (i ConvTransposedDataGrad) Writes() []ID { return ids(i.DIn) }

func (i NormGrad) Reads() []ID  { return ids(i.Raw, i.Moments, i.Norm, i.Gamma, i.DOut) }
func (i NormGrad) Writes() []ID { return ids(i.DIn, i.DGamma, i.DBeta) }

func (i Add) Reads() []ID  { return ids(i.A, i.B) }
func (i Add) Writes() []ID { return ids(i.Out) }

func (i LabelsNearest) Reads() []ID  { return ids(i.In) }
func (i LabelsNearest) Writes() []ID { return ids(i.Out) }

func (i DiceCE) Reads() []ID  { return ids(i.Logits, i.Labels, i.ClassWeights) }
func (i DiceCE) Writes() []ID { return ids(i.Sums, i.Out) }

func (i DiceCEGrad) Reads() []ID {
	return ids(i.Logits, i.Labels, i.Sums, i.Seed, i.ClassWeights)
}
func (i DiceCEGrad) Writes() []ID { return ids(i.DLogits) }

func (i WeightedSum) Reads() []ID  { return ids(i.Terms...) }
func (i WeightedSum) Writes() []ID { return ids(i.Out) }

func (i GradNorm) Reads() []ID  { return append(ids(i.Grads...), i.Seed) }
func (i GradNorm) Writes() []ID { return ids(i.Out) }

func (i Update) Reads() []ID  { return append(ids(i.State...), i.Param, i.Grad, i.Hyper, i.Norm) }
func (i Update) Writes() []ID { return append(ids(i.State...), i.Param) }
