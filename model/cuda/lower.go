package cuda

import (
	"fmt"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/kernels"
	"noisystudent/model/cuda/tuning"
	"noisystudent/model/program"
)

// lowering turns instructions into launches. It is done twice: first with a null
// scratch, to learn how much of it is wanted, then for good.
type lowering struct {
	l         *loaded
	measuring bool // the first time

	launches []*driver.Launch
	weights  []*driver.Launch
	until    []int          // launches up to each instruction's end
	units    []kernels.Unit // of all launches, the first time
	err      error

	asked         []asked[tuning.Rule]        // convolutions looked up in the tuning table, the first time
	askedProducts []asked[tuning.ProductRule] // and weight gradients

	scratch    driver.Pointer
	used, most int64 // of the memory that one instruction has to itself
	keepAt     int64 // where kept memory starts: most of the first time
	kept       int64
}

func (w *lowering) all() error {
	for t, in := range w.l.p.Instrs {
		w.used = 0
		w.instruction(in)
		if w.err != nil {
			return fmt.Errorf("instruction %d %T: %w", t, in, w.err)
		}
		w.until = append(w.until, len(w.launches))
	}
	return nil
}

func (w *lowering) instruction(in program.Instr) {
	switch in := in.(type) {
	case program.Conv:
		w.conv(in)
	case program.ConvTransposed:
		w.convTransposed(in)
	case program.ConvWeightGrad:
		w.convWeightGrad(in)
	case program.ConvDataGrad:
		w.convDataGrad(in)
	case program.ConvTransposedWeightGrad:
		w.convTransposedWeightGrad(in)
	case program.ConvTransposedDataGrad:
		w.convTransposedDataGrad(in)
	case program.Moments:
		w.moments(in)
	case program.NormScale:
		w.normScale(in)
	case program.NormAct:
		w.normAct(in)
	case program.NormGrad:
		w.normGrad(in)
	case program.Concat:
		w.concat(in)
	case program.Add:
		w.add(in)
	case program.LabelsNearest:
		w.labelsNearest(in)
	case program.DiceCE:
		w.diceCE(in)
	case program.DiceCEGrad:
		w.diceCEGrad(in)
	case program.WeightedSum:
		w.weightedSum(in)
	case program.GradNorm:
		w.gradNorm(in)
	case program.Update:
		w.update(in)
	default:
		w.err = fmt.Errorf("no kernel computes it")
	}
}

// temp gives memory that lasts for the launches of one instruction.
func (w *lowering) temp(bytes int64) driver.Pointer {
	at := w.scratch + driver.Pointer(w.used)
	w.used += aligned(bytes)
	w.most = max(w.most, w.used)
	return at
}

// keep gives memory that lasts as long as the program, such as for packed weights.
func (w *lowering) keep(bytes int64) driver.Pointer {
	at := w.scratch + driver.Pointer(w.keepAt+w.kept)
	w.kept += aligned(bytes)
	return at
}

func (w *lowering) bytes() int64 { return w.most + w.kept }

func (w *lowering) at(id program.ID) driver.Pointer { return w.l.at(id) }

func (w *lowering) shape(id program.ID) []int { return w.l.p.Buffers[id].Shape }

// make readies a launch of a kernel of a file, specialised for the program's store
// type and for the defines.
func (w *lowering) make(file, defines, name string, grid, block [3]int, shared int, args ...any) *driver.Launch {
	u := kernels.Unit{File: file, Defines: "STORE=" + w.l.store.name + " " + defines}
	launch := &driver.Launch{Name: file + "." + name, Grid: grid, Block: block, Shared: shared}
	if w.measuring {
		w.units = append(w.units, u)
		return launch
	}
	launch.Args = driver.Pack(args...)
	var err error
	if launch.Function, err = w.l.d.function(u, name, shared); err == nil {
		err = w.l.d.context.Check(launch.Function, launch.Args)
	}
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: %w", launch.Name, err)
	}
	return launch
}

// launch adds a kernel to each run.
func (w *lowering) launch(file, defines, name string, grid, block [3]int, shared int, args ...any) {
	w.launches = append(w.launches, w.make(file, defines, name, grid, block, shared, args...))
}

// onWeights adds a kernel to the runs before which parameters have changed.
func (w *lowering) onWeights(file, defines, name string, grid, block [3]int, shared int, args ...any) {
	w.weights = append(w.weights, w.make(file, defines, name, grid, block, shared, args...))
}

// each launches a kernel that strides over n elements.
func (w *lowering) each(file, name string, n int64, args ...any) {
	const threads, blocks = 256, 4096
	w.launch(file, "", name, [3]int{int(min((n+threads-1)/threads, blocks)), 1, 1}, [3]int{threads, 1, 1}, 0, args...)
}

// now queues what was added, once.
func (w *lowering) now() error {
	for _, launch := range w.launches {
		if w.err == nil {
			w.err = w.l.d.stream.Launch(launch)
		}
		launch.Args.Free()
	}
	return w.err
}
