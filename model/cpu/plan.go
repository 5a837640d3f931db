package cpu

import (
	"fmt"

	"noisystudent/model/program"
)

// plan turns instructions into ops. Updates that follow each other run as one.
func (l *loaded) plan() {
	l.lives = program.Lifetimes(l.p)
	for t := 0; t < len(l.p.Instrs); t++ {
		if _, ok := l.p.Instrs[t].(program.Update); ok {
			var run []program.Update
			for ; t < len(l.p.Instrs); t++ {
				u, ok := l.p.Instrs[t].(program.Update)
				if !ok {
					break
				}
				run = append(run, u)
			}
			l.ops = append(l.ops, l.newUpdates(run))
			t--
			continue
		}
		l.ops = append(l.ops, l.lend(t, l.newOp(l.p.Instrs[t])))
	}
}

func (l *loaded) newOp(in program.Instr) op {
	switch i := in.(type) {
	case program.Conv:
		return l.newConv(i)
	case program.ConvTransposed:
		return l.newTransposed(i)
	case program.Moments:
		return l.newMoments(i)
	case program.NormScale:
		return l.newNormScale(i)
	case program.NormAct:
		return l.newConcat("norm and activation", []program.View{i.In}, i.Out)
	case program.Concat:
		return l.newConcat("concat", i.In, i.Out)
	case program.ConvWeightGrad:
		return l.newWeightGrad(i)
	case program.ConvDataGrad:
		return l.newDataGrad(i)
	case program.ConvTransposedWeightGrad:
		return l.newTransposedWeightGrad(i)
	case program.ConvTransposedDataGrad:
		return l.newTransposedDataGrad(i)
	case program.NormGrad:
		return l.newNormGrad(i)
	case program.Add:
		return l.newAdd(i)
	case program.LabelsNearest:
		return l.newLabelsNearest(i)
	case program.DiceCE:
		return l.newDiceCE(i)
	case program.DiceCEGrad:
		return l.newDiceCEGrad(i)
	case program.WeightedSum:
		return l.newWeightedSum(i)
	case program.GradNorm:
		return l.newGradNorm(i)
	}
	// program.Check has refused every other type.
	panic(fmt.Sprintf("cpu: no plan for %T", in))
}
