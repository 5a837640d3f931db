package ref

import (
	"fmt"
	"math"

	"noisystudent/model/optim"
	"noisystudent/model/program"
)

// execute runs one instruction: a view is materialised, inputs are concatenated,
// and the function of the instruction's name does the rest.
func (m *memory[T]) execute(in program.Instr) {
	switch i := in.(type) {
	case program.Conv:
		x, shape := m.input(i.In)
		Conv(m.geometry(shape, i.Weight, i.Stride), x, m.at(i.Weight), m.at(i.Bias), m.at(i.Out))
		if i.Moments != program.None {
			Moments(m.shape(i.Out), m.at(i.Out), m.at(i.Moments))
		}
	case program.ConvTransposed:
		x, shape := m.input([]program.View{i.In})
		ConvTransposed(m.geometryTransposed(shape, i.Weight), x, m.at(i.Weight), m.at(i.Bias), m.at(i.Out))
	case program.ConvWeightGrad:
		x, shape := m.input(i.In)
		ConvWeightGrad(m.geometry(shape, i.DWeight, i.Stride), x, m.at(i.DOut), m.at(i.DWeight), m.at(i.DBias))
	case program.ConvDataGrad:
		m.convDataGrad(i)
	case program.ConvTransposedWeightGrad:
		x, shape := m.input([]program.View{i.In})
		ConvTransposedWeightGrad(m.geometryTransposed(shape, i.DWeight), x, m.at(i.DOut), m.at(i.DWeight), m.at(i.DBias))
	case program.ConvTransposedDataGrad:
		shape := m.p.Buffers[i.DIn].Shape
		dx := make([]T, len(m.at(i.DIn)))
		ConvTransposedDataGrad(m.geometryTransposed(shape, i.Weight), m.at(i.DOut), m.at(i.Weight), dx)
		assign(m.at(i.DIn), dx, i.Accumulate)
	default:
		m.pointwise(in)
	}
}

func (m *memory[T]) pointwise(in program.Instr) {
	switch i := in.(type) {
	case program.Moments:
		Moments(m.shape(i.In), m.at(i.In), m.at(i.Out))
	case program.NormScale:
		c := len(m.at(i.Gamma))
		s := Shape{N: len(m.at(i.Out)) / (2 * c), C: c}
		NormScale(s, m.at(i.Moments), m.at(i.Gamma), m.at(i.Beta), float64(i.Eps), m.at(i.Out))
	case program.NormAct:
		NormAct(m.shape(i.Out), m.at(i.In.Buf), m.at(i.In.Norm), float64(i.In.Slope), m.at(i.Out))
	case program.Concat:
		x, _ := m.input(i.In)
		copy(m.at(i.Out), x)
	case program.NormGrad:
		v := Norm[T]{m.at(i.Raw), m.at(i.Moments), m.at(i.Norm), m.at(i.Gamma), float64(i.Slope), float64(i.Eps)}
		NormGrad(m.shape(i.Raw), v, m.at(i.DOut), m.at(i.DIn), m.at(i.DGamma), m.at(i.DBeta))
	case program.Add:
		Add(m.at(i.A), m.at(i.B), m.at(i.Out))
	case program.LabelsNearest:
		from, to := m.p.Buffers[i.In].Shape, m.p.Buffers[i.Out].Shape
		dst := make([]uint8, len(m.at(i.Out)))
		LabelsNearest(from[0], grid(from[1:]), grid(to[1:]), m.labels(i.In), dst)
		m.putLabels(i.Out, dst)
	case program.DiceCE:
		DiceCE(m.shape(i.Logits), m.at(i.Logits), m.labels(i.Labels), m.loss(i.Loss), m.at(i.Sums), m.at(i.Out))
	case program.DiceCEGrad:
		factor := float64(i.Weight) * float64(m.at(i.Seed)[0])
		DiceCEGrad(m.shape(i.Logits), m.at(i.Logits), m.labels(i.Labels), m.loss(i.Loss), m.at(i.Sums), factor, m.at(i.DLogits))
	case program.WeightedSum:
		WeightedSum(m.all(i.Terms), i.Weights, m.at(i.Out))
	case program.GradNorm:
		out := m.at(i.Out)
		out[0], out[1] = GradNorm(m.all(i.Grads), m.at(i.Seed)[0], float64(i.MaxNorm))
	case program.Update:
		m.update(i)
	default:
		panic(fmt.Sprintf("ref: run: unknown instruction %T", in))
	}
}

// convDataGrad computes the gradient of the whole concatenation and cuts it.
func (m *memory[T]) convDataGrad(i program.ConvDataGrad) {
	total, grid := 0, []int(nil)
	for k, c := range i.Channels {
		total += c
		if i.DIn[k] != program.None {
			grid = m.p.Buffers[i.DIn[k]].Shape[2:]
		}
	}
	n := m.p.Buffers[i.DOut].Shape[0]
	g := m.geometry(append([]int{n, total}, grid...), i.Weight, i.Stride)
	voxels := volume(g.In)
	dx := make([]T, n*total*voxels)
	ConvDataGrad(g, m.at(i.DOut), m.at(i.Weight), dx)
	first := 0
	for k, c := range i.Channels {
		if i.DIn[k] != program.None {
			for b := range n {
				part := m.at(i.DIn[k])[b*c*voxels:][:c*voxels]
				assign(part, dx[(b*total+first)*voxels:][:c*voxels], i.Accumulate[k])
			}
		}
		first += c
	}
}

func (m *memory[T]) update(i program.Update) {
	norm, state := m.at(i.Norm), m.all(i.State)
	if n := float64(norm[0]); math.IsNaN(n) || math.IsInf(n, 0) {
		return
	}
	if i.Rule == program.AdamW {
		optim.AdamW(m.at(i.Param), m.at(i.Grad), state[0], state[1], m.at(i.Hyper), norm[1])
	} else {
		optim.SGD(m.at(i.Param), m.at(i.Grad), state[0], m.at(i.Hyper), norm[1])
	}
}

// assign copies src to dst, or adds it.
func assign[T Float](dst, src []T, accumulate bool) {
	if !accumulate {
		copy(dst, src)
		return
	}
	for i, v := range src {
		dst[i] += v
	}
}

// at returns the memory of a buffer, nil for None.
func (m *memory[T]) at(id program.ID) []T {
	if id == program.None {
		return nil
	}
	return m.buffers[id]
}

func (m *memory[T]) all(list []program.ID) [][]T {
	out := make([][]T, len(list))
	for i, id := range list {
		out[i] = m.buffers[id]
	}
	return out
}

// input returns the channel concatenation of views, materialised, and its shape.
func (m *memory[T]) input(list []program.View) ([]T, []int) {
	parts, shape := make([][]T, len(list)), []int(nil)
	total := 0
	for i, v := range list {
		parts[i], shape = m.view(v)
		total += shape[1]
	}
	if len(list) == 1 {
		return parts[0], shape
	}
	shape = []int{shape[0], total, shape[2], shape[3], shape[4]}
	voxels := total * volume(grid(shape[2:]))
	out, first := make([]T, shape[0]*voxels), 0
	for _, x := range parts {
		size := len(x) / shape[0]
		for n := range shape[0] {
			copy(out[n*voxels+first:], x[n*size:][:size])
		}
		first += size
	}
	return out, shape
}

// view returns an activation as its reader sees it: normed, activated, upsampled.
func (m *memory[T]) view(v program.View) ([]T, []int) {
	x, shape := m.at(v.Buf), m.p.Buffers[v.Buf].Shape
	if v.Norm != program.None {
		raw := x
		x = make([]T, len(raw))
		NormAct(m.shape(v.Buf), raw, m.at(v.Norm), float64(v.Slope), x)
	}
	if v.Up == nil {
		return x, shape
	}
	up := program.Upsampled(shape, m.p.Buffers[v.Up.Weight].Shape)
	out := make([]T, program.Buffer{Shape: up}.Len())
	ConvTransposed(m.geometryTransposed(shape, v.Up.Weight), x, m.at(v.Up.Weight), m.at(v.Up.Bias), out)
	return out, up
}

func (m *memory[T]) shape(id program.ID) Shape {
	s := m.p.Buffers[id].Shape
	return Shape{N: s[0], C: s[1], V: volume(grid(s[2:]))}
}

func (m *memory[T]) geometry(in []int, weight program.ID, stride [3]int) Geometry {
	w := m.p.Buffers[weight].Shape
	return Geometry{N: in[0], Cin: in[1], Cout: w[0], In: grid(in[2:]), Kernel: grid(w[2:]), Stride: stride}
}

func (m *memory[T]) geometryTransposed(in []int, weight program.ID) Geometry {
	w := m.p.Buffers[weight].Shape
	return Geometry{N: in[0], Cin: w[0], Cout: w[1], In: grid(in[2:]), Kernel: grid(w[2:])}
}

func (m *memory[T]) loss(l program.Loss) Loss[T] {
	return Loss[T]{BatchDice: l.BatchDice, Ignore: l.Ignore, ClassWeights: m.at(l.ClassWeights)}
}

func grid(s []int) [3]int { return [3]int{s[0], s[1], s[2]} }
