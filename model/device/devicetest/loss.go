package devicetest

import (
	"fmt"

	"noisystudent/model/program"
)

// lossProblem is one shape and set of attributes of DiceCE.
type lossProblem struct {
	n, classes int
	grid       [3]int
	batchDice  bool
	ignore     int // -1: none
	weighted   bool
	scale      float64 // of the logits
	present    int     // labels are drawn below it
}

func lossCases() []testCase {
	list := []lossProblem{
		{2, 2, [3]int{3, 5, 7}, true, -1, false, 2, 2},
		{2, 14, [3]int{4, 6, 24}, true, -1, false, 2, 14},
		{2, 14, [3]int{4, 6, 25}, false, -1, false, 2, 14},
		{1, 5, [3]int{1, 1, 1}, true, -1, false, 2, 5},
		{2, 17, [3]int{2, 3, 13}, true, 17, false, 2, 18},
		{2, 16, [3]int{2, 3, 12}, false, 3, true, 2, 16},
		{1, 14, [3]int{3, 5, 7}, true, -1, true, 2, 3},
		{2, 33, [3]int{2, 2, 5}, true, 255, true, 2, 33},
		{2, 14, [3]int{2, 3, 24}, true, -1, false, 60, 14},
		{2, 8, [3]int{2, 3, 24}, false, 2, true, 60, 8},
		{2, 9, [3]int{2, 3, 13}, true, -1, true, 2, 9},
		{1, 4, [3]int{2, 3, 7}, true, 0, false, 2, 1},
		{2, 14, [3]int{8, 16, 24}, true, 5, true, 2, 14}, // many voxels
		{2, 130, [3]int{2, 3, 5}, false, -1, true, 2, 130},
	}
	var all []testCase
	for k, l := range list {
		name := fmt.Sprintf("c%d n%d %v batch dice %v ignore %d weighted %v scale %g present %d",
			l.classes, l.n, l.grid, l.batchDice, l.ignore, l.weighted, l.scale, l.present)
		all = append(all, testCase{"loss/" + name, func() *problem { return l.build(uint64(k)) }, k == 1})
	}
	for k, grids := range [][2][3]int{
		{{4, 6, 24}, {4, 3, 12}}, {{4, 6, 24}, {2, 3, 12}}, {{8, 8, 8}, {1, 2, 4}}, {{5, 7, 13}, {3, 4, 7}}, {{3, 5, 7}, {3, 5, 7}},
	} {
		name := fmt.Sprintf("labels nearest/%v to %v", grids[0], grids[1])
		all = append(all, testCase{name, func() *problem { return labelsNearest(uint64(k), grids[0], grids[1]) }, false})
	}
	return all
}

func (l lossProblem) build(seed uint64) *problem {
	b := newProblem(13, seed)
	shape := []int{l.n, l.classes, l.grid[0], l.grid[1], l.grid[2]}
	logits := b.given("logits", program.Activation, program.Input, l.scale, 0, shape...)
	labels := b.labelled("labels", l.present, l.n, l.grid[0], l.grid[1], l.grid[2])
	attributes := program.Loss{BatchDice: l.batchDice, Ignore: l.ignore, ClassWeights: program.None}
	if l.weighted {
		attributes.ClassWeights = b.given("class weights", program.Vector, program.Input, 0.1, 1, l.classes)
	}
	sums := b.want("sums", program.Vector, l.n*l.classes*3+1)
	b.Emit(program.DiceCE{Logits: logits, Labels: labels, Sums: sums, Out: b.want("out", program.Vector, 3), Loss: attributes})
	b.Emit(program.DiceCEGrad{
		Logits: logits, Labels: labels, Sums: sums, Seed: b.constant("seed", 8), Weight: 0.375,
		DLogits: b.want("dlogits", program.Activation, shape...), Loss: attributes,
	})
	return b
}

// labelled adds a Labels input with values drawn below n.
func (b *problem) labelled(name string, n int, shape ...int) program.ID {
	id := b.New(name, program.Labels, program.Input, shape...)
	b.labels[id] = b.drawLabels(id, n)
	return id
}

// labelsNearest is seen through the loss gradient, for labels cannot be read.
func labelsNearest(seed uint64, from, to [3]int) *problem {
	b := newProblem(14, seed)
	const n, classes = 2, 14
	labels := b.labelled("labels", classes, n, from[0], from[1], from[2])
	small := b.New("small", program.Labels, program.Temp, n, to[0], to[1], to[2])
	b.Emit(program.LabelsNearest{In: labels, Out: small})
	shape := []int{n, classes, to[0], to[1], to[2]}
	logits := b.activation("logits", shape...)
	sums := b.want("sums", program.Vector, n*classes*3+1)
	attributes := program.Loss{BatchDice: true, Ignore: -1, ClassWeights: program.None}
	b.Emit(program.DiceCE{Logits: logits, Labels: small, Sums: sums, Out: b.want("out", program.Vector, 3), Loss: attributes})
	b.Emit(program.DiceCEGrad{
		Logits: logits, Labels: small, Sums: sums, Seed: b.constant("seed", 1), Weight: 1,
		DLogits: b.want("dlogits", program.Activation, shape...), Loss: attributes,
	})
	return b
}
