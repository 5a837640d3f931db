package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// field is one field of an argument struct of package cpu.
type field struct {
	args, name string
	offset     int
}

// fields lists what kernels read. Pointers and ints take 8 bytes, vectors of 16
// float32 64.
var fields = concat(
	layout("convArgs", "in 8", "w 8", "out 8", "bias 8", "list 8", "n 8", "wNext 8", "wStep 8", "outNext 8", "outStep 8", "add 8"),
	layout("gradArgs", "in 8", "dy 8", "dw 8", "list 8", "n 8", "px 8", "inStep 8", "dyNext 8", "dwNext 8", "dwStep 8", "tap1 8", "tap2 8"),
	layout("packArgs", "dst 8", "src 8", "scale 8", "shift 8", "px 8", "rows 8", "srcStep 8", "dstRow 8", "srcRow 8", "pad 8", "slope 4"),
	layout("transposeArgs", "dst 8", "src 8", "rows 128", "n 8", "dstStep 8"),
	layout("halveArgs", "dst 8", "even 8", "odd 8", "n 8", "rows 8", "step 8"),
	layout("sumArgs", "src 8", "shift 8", "n 8", "sums 128"),
	layout("normGradArgs", "x 8", "dy 8", "dx 8", "n 8", "scale 64", "shift 64", "mean 64", "a 64", "b 64", "c 64", "sums 128", "slope 4"),
	layout("updateArgs", "w 8", "grad 8", "s1 8", "s2 8", "n 8", "k 32"),
	layout("squareArgs", "x 8", "n 8", "sum 8"),
	layout("addArgs", "dst 8", "a 8", "b 8", "n 8"),
	layout("lossArgs", "logits 8", "dlogits 8", "labels 8", "top 8", "a 8", "b 8", "weight 8", "counts 8", "sums 8", "n 8"),
	layout("winogradInputArgs", "points 8", "src 8", "scale 8", "shift 8", "kept 8", "rows 48", "px 8", "point 8", "slope 4"),
	layout("winogradWeightArgs", "points 8", "weights 8", "row 8", "n 8", "step 8", "next 8", "point 8"),
	layout("winogradOutputArgs", "points 8", "out 8", "bias 8", "row 8", "rows 8", "px 8", "point 8", "add 8"),
)

func concat(lists ...[]field) (all []field) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// layout places fields "name size" one after another.
func layout(args string, list ...string) (all []field) {
	at := 0
	for _, f := range list {
		name, size := split(f)
		all = append(all, field{args, name, at})
		at += size
	}
	return all
}

func split(f string) (name string, size int) {
	for i := range f {
		if f[i] == ' ' {
			for _, c := range f[i+1:] {
				size = 10*size + int(c-'0')
			}
			return f[:i], size
		}
	}
	panic("field without a size: " + f)
}

func offset(args, name string) int {
	for _, f := range fields {
		if f.args == args && f.name == name {
			return f.offset
		}
	}
	panic("no field " + args + "." + name)
}

// frame is the argument struct of the kernel being written.
type frame struct {
	args string
	base reg.Register
}

// arguments loads the pointer to the arguments, which stays in base.
func arguments(args string, base reg.GPPhysical) frame {
	build.Load(build.Param("a"), base)
	return frame{args, base}
}

func (f frame) at(name string) operand.Mem {
	return operand.Mem{Base: f.base, Disp: offset(f.args, name)}
}

// load puts an 8-byte field into a register.
func (f frame) load(name string, to reg.Register) reg.Register {
	build.MOVQ(f.at(name), to)
	return to
}

var zs = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}
