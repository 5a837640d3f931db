package program

import (
	"fmt"
	"slices"
)

// operands checks the classes and shapes of one instruction and keeps the first
// error.
type operands struct {
	p   *Program
	err error
}

func (c *operands) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// shape returns the shape of a buffer of the given class, all ones after an error.
func (c *operands) shape(name string, id ID, class Class) []int {
	ones := []int{1, 1, 1, 1, 1}
	if id < 0 || int(id) >= len(c.p.Buffers) {
		c.fail("%s: no buffer %d", name, id)
		return ones
	}
	b := c.p.Buffers[id]
	if b.Class != class {
		c.fail("%s: %q is %s, need %s", name, b.Name, b.Class, class)
		return ones
	}
	return b.Shape
}

func (c *operands) vector(name string, id ID, n int) {
	s := c.shape(name, id, Vector)
	if got := (Buffer{Shape: s}).Len(); c.err == nil && got != n {
		c.fail("%s: %q has %d elements, need %d", name, c.p.Buffers[id].Name, got, n)
	}
}

// optional is vector for an operand that may be None.
func (c *operands) optional(name string, id ID, n int) {
	if id != None {
		c.vector(name, id, n)
	}
}

func (c *operands) same(name string, got, want []int) {
	if !slices.Equal(got, want) {
		c.fail("%s: shape %v, need %v", name, got, want)
	}
}

// view returns the shape of an activation as its reader sees it.
func (c *operands) view(name string, v View) []int {
	s := c.shape(name, v.Buf, Activation)
	c.optional(name+" norm", v.Norm, s[0]*s[1]*2)
	if v.Up == nil {
		return s
	}
	w := c.shape(name+" upsampling", v.Up.Weight, Kernel)
	up := Upsampled(s, w)
	c.transposed(s, w, up)
	c.optional(name+" upsampling bias", v.Up.Bias, up[1])
	return up
}

// Upsampled returns the shape of the transposed convolution, by a weight (Cin, Cout,
// KD, KH, KW), of an activation.
func Upsampled(in, weight []int) []int {
	return []int{in[0], weight[1], in[2] * weight[2], in[3] * weight[3], in[4] * weight[4]}
}

// upsampled refuses upsampled views in a convolution of another stride than 1.
func (c *operands) upsampled(list []View, stride [3]int) {
	if stride != [3]int{1, 1, 1} {
		c.stored(list...)
	}
}

// stored refuses upsampled views.
func (c *operands) stored(list ...View) {
	for _, v := range list {
		if v.Up != nil {
			c.fail("in: upsampled while it is read, which only convolutions of stride 1 do")
		}
	}
}

// concat returns the shape of the channel concatenation of views.
func (c *operands) concat(list []View) []int {
	if len(list) == 0 {
		c.fail("in: no input")
		return []int{1, 1, 1, 1, 1}
	}
	out := slices.Clone(c.view("in", list[0]))
	for _, v := range list[1:] {
		s := c.view("in", v)
		c.same("in", []int{s[0], s[2], s[3], s[4]}, []int{out[0], out[2], out[3], out[4]})
		out[1] += s[1]
	}
	return out
}

// conv checks the shapes that a Conv and both its gradients share.
func (c *operands) conv(in, weight, out []int, stride [3]int) {
	c.same("weight", weight[:2], []int{out[1], in[1]})
	want := []int{in[0], out[1], 0, 0, 0}
	for a, s := range stride {
		if s != 1 && s != 2 {
			c.fail("stride %v, each must be 1 or 2", stride)
			return
		}
		if k := weight[2+a]; k != 1 && k != 3 {
			c.fail("kernel %v, each must be 1 or 3", weight[2:])
		}
		want[2+a] = (in[2+a] + s - 1) / s
	}
	c.same("out", out, want)
}

// transposed checks the shapes that a ConvTransposed and its gradients share.
func (c *operands) transposed(in, weight, out []int) {
	c.same("weight", weight[:2], []int{in[1], out[1]})
	want := Upsampled(in, weight)
	if k := weight[2:]; slices.Min(k) < 1 || slices.Max(k) > 2 {
		c.fail("kernel %v, each must be 1 or 2", k)
	}
	c.same("out", out, want)
}
