package op

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// every lists all ops of the package.
var every = []gorgonia.Op{
	Conv{},
	ConvDataGrad{},
	ConvWeightGrad{},
	BiasGrad{},
	ConvTransposed{},
	ConvTransposedDataGrad{},
	ConvTransposedWeightGrad{},
	Moments{},
	NormAct{},
	NormGrad{},
	Concat{},
	Slice{},
	LabelsNearest{},
	DiceCE{},
	DiceCEGrad{},
	WeightedSum{},
	Scale{},
}

func TestHashContainsEveryField(t *testing.T) {
	seen := map[uint32]string{}
	for _, o := range every {
		if other, ok := seen[o.Hashcode()]; ok {
			t.Errorf("%T and %s have one hash", o, other)
		}
		seen[o.Hashcode()] = o.String()
		checkFields(t, o, reflect.TypeOf(o), func(v reflect.Value) reflect.Value { return v })
	}
}

// checkFields changes one field of o after the other, those of embedded ops too.
func checkFields(t *testing.T, o gorgonia.Op, typ reflect.Type, in func(reflect.Value) reflect.Value) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if !f.IsExported() {
			continue
		}
		if f.Anonymous {
			checkFields(t, o, f.Type, func(v reflect.Value) reflect.Value { return in(v).Field(i) })
			continue
		}
		changed := reflect.New(reflect.TypeOf(o)).Elem()
		set(in(changed).Field(i))
		if changed.Interface().(gorgonia.Op).Hashcode() == o.Hashcode() {
			t.Errorf("%T: field %s is not in the hash", o, f.Name)
		}
	}
}

func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float32:
		v.SetFloat(0.5)
	case reflect.Array:
		set(v.Index(2))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Uint8:
		v.SetUint(1)
	default:
		v.SetInt(3)
	}
}

// nameHash is how Gorgonia hashes an input.
func nameHash(n *Node, name string) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%v%v", n.Type(), n.Shape())
	h.Write(append([]byte(name), 0))
	return h.Sum32()
}

// collision finds two names that Gorgonia cannot tell apart below an op.
func collision(t *testing.T, like *Node) (a, b string) {
	t.Helper()
	if nameHash(like, like.Name()) != like.Hashcode() {
		t.Fatal("Gorgonia hashes inputs differently now")
	}
	seen := map[uint32]string{}
	for i := range 1 << 20 {
		name := fmt.Sprintf("enc.%x.weight", uint64(i)*0x9e3779b97f4a7c15) // FNV spreads consecutive numbers too well
		h := nameHash(like, name)
		if other, ok := seen[h]; ok {
			return other, name
		}
		seen[h] = name
	}
	t.Fatal("no collision in a million names")
	return "", ""
}

func TestGuardSeesHashCollision(t *testing.T) {
	first, second := collision(t, NewGraph(tensor.Float32).Input("x", 1, 2, 2, 2, 2))
	g := NewGraph(tensor.Float32)
	a, b := g.Input(first, 1, 2, 2, 2, 2), g.Input(second, 1, 2, 2, 2, 2)
	if g.Err() != nil || a == b {
		t.Fatalf("inputs %v, %v: %v", a, b, g.Err())
	}
	g.Apply("of a", Moments{}, a)
	if n := g.Apply("of b", Moments{}, b); n != nil || g.Err() == nil || !strings.Contains(g.Err().Error(), "collision") {
		t.Errorf("moments of %s and %s became one node: %v", first, second, g.Err())
	}
}

// twice declares a value with two uses, so that its gradient is a sum.
func twice(t *testing.T) (g *Graph, x, y, dy *Node) {
	t.Helper()
	g = NewGraph(tensor.Float32)
	x = g.Input("x", 1, 2, 2, 2, 2)
	y = g.Apply("y", Concat{N: 2}, x, x)
	dy = g.Input("dy", 1, 4, 2, 2, 2)
	if g.Err() != nil {
		t.Fatal(g.Err())
	}
	return g, x, y, dy
}

func TestGuardCountsSums(t *testing.T) {
	g, x, y, dy := twice(t)
	forward := g.Nodes()
	grads, err := Gradient(y, dy, []*Node{x})
	if err != nil || !IsAdd(grads[0]) {
		t.Fatalf("gradient %v: %v", grads, err)
	}
	if err := checkSums(append(forward, y), y); err == nil {
		t.Error("one sum too few was not seen")
	}
	if _, err := Gradient(y, dy, []*Node{x}); err == nil {
		t.Error("a second gradient of one graph was accepted")
	}
}

func TestGraphRefusesBadDeclarations(t *testing.T) {
	for name, declare := range map[string]func(g *Graph, x *Node){
		"name taken":   func(g *Graph, x *Node) { g.Input("x", 1) },
		"no name":      func(g *Graph, x *Node) { g.Input("", 1) },
		"missing node": func(g *Graph, x *Node) { g.Apply("y", Moments{}, nil) },
		"rank":         func(g *Graph, x *Node) { g.Apply("y", Moments{}, g.Input("v", 3)) },
		"arity":        func(g *Graph, x *Node) { g.Apply("y", Moments{}, x, x) },
		"channels": func(g *Graph, x *Node) {
			g.Apply("y", Conv{Stride: [3]int{1, 1, 1}}, x, g.Input("w", 2, 3, 3, 3, 3), g.Input("b", 2))
		},
		"even kernel": func(g *Graph, x *Node) {
			g.Apply("y", Conv{Stride: [3]int{1, 1, 1}}, x, g.Input("w", 2, 2, 2, 3, 3), g.Input("b", 2))
		},
		"stride": func(g *Graph, x *Node) {
			g.Apply("y", Conv{}, x, g.Input("w", 2, 2, 3, 3, 3), g.Input("b", 2))
		},
		"transposed channels": func(g *Graph, x *Node) {
			g.Apply("y", ConvTransposed{}, x, g.Input("w", 3, 2, 2, 2, 2), g.Input("b", 2))
		},
		"moments": func(g *Graph, x *Node) {
			g.Apply("y", NormAct{}, x, g.Input("m", 1, 3, 2), g.Input("gamma", 2), g.Input("beta", 2))
		},
		"concat grid": func(g *Graph, x *Node) { g.Apply("y", Concat{N: 2}, x, g.Input("z", 1, 2, 2, 2, 4)) },
		"slice":       func(g *Graph, x *Node) { g.Apply("y", Slice{From: 1, To: 3}, x) },
		"labels grow": func(g *Graph, x *Node) { g.Apply("y", LabelsNearest{Out: [3]int{4, 2, 2}}, g.Input("l", 1, 2, 2, 2)) },
		"labels grid": func(g *Graph, x *Node) { g.Apply("y", DiceCE{}, x, g.Input("l", 1, 2, 2, 4)) },
		"weights": func(g *Graph, x *Node) {
			g.Apply("y", DiceCE{Weighted: true}, x, g.Input("l", 1, 2, 2, 2), g.Input("w", 3))
		},
		"sum of parts": func(g *Graph, x *Node) { g.Apply("y", WeightedSum{Weights: []float32{1}}, g.Input("l", 2)) },
		"seed":         func(g *Graph, x *Node) { g.Apply("y", DiceCEGrad{}, g.Input("s", 2), x, g.Input("l", 1, 2, 2, 2)) },
	} {
		g := NewGraph(tensor.Float32)
		declare(g, g.Input("x", 1, 2, 2, 2, 2))
		if g.Err() == nil {
			t.Errorf("%s: accepted", name)
		}
		if n := g.Apply("later", Moments{}, g.Input("later x", 1, 2, 2, 2, 2)); n != nil {
			t.Errorf("%s: the graph goes on after an error", name)
		}
	}
}

func TestDoRefusesMixedTypes(t *testing.T) {
	x := tensor.New(tensor.WithShape(1, 1, 1, 1, 2), tensor.WithBacking([]float32{1, 2}))
	y := tensor.New(tensor.WithShape(1, 1, 1, 1, 2), tensor.WithBacking([]float64{1, 2}))
	if _, err := (Concat{N: 2}).Do(x, y); err == nil {
		t.Error("float32 and float64 were joined")
	}
	if _, err := (Moments{}).Do(tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2}))); err == nil {
		t.Error("a vector was taken for an activation")
	}
}
