package program

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// small is a program with one instruction of most kinds: a convolution with norm,
// its loss, backward, norm and update.
func small() (*Program, map[string]ID) {
	p, at := &Program{}, map[string]ID{}
	buffer := func(name string, c Class, r Role, shape ...int) { at[name] = p.New(name, c, r, shape...) }
	buffer("x", Activation, Input, 2, 3, 4, 6, 8)
	buffer("labels", Labels, Input, 2, 4, 3, 4)
	buffer("seed", Vector, Input, 1)
	buffer("hyper", Vector, Input, 3)
	buffer("w", Kernel, Param, 5, 3, 3, 3, 3)
	buffer("gamma", Vector, Param, 5)
	buffer("velocity", Kernel, State, 5, 3, 3, 3, 3)
	buffer("raw", Activation, Temp, 2, 5, 4, 3, 4)
	buffer("moments", Vector, Temp, 2, 5, 2)
	buffer("norm", Vector, Temp, 2, 5, 2)
	buffer("logits", Activation, Temp, 2, 5, 4, 3, 4)
	buffer("sums", Vector, Temp, 31)
	buffer("loss", Vector, Output, 3)
	buffer("dlogits", Activation, Temp, 2, 5, 4, 3, 4)
	buffer("dw", Kernel, Output, 5, 3, 3, 3, 3)
	buffer("dgamma", Vector, Temp, 5)
	buffer("dbeta", Vector, Temp, 5)
	buffer("total", Vector, Output, 2)
	stride, l := [3]int{1, 2, 2}, Loss{BatchDice: true, Ignore: -1, ClassWeights: None}
	x := View{Buf: at["x"], Norm: None}
	p.Emit(
		Conv{In: []View{x}, Weight: at["w"], Bias: None, Out: at["raw"], Moments: at["moments"], Stride: stride},
		NormScale{Moments: at["moments"], Gamma: at["gamma"], Beta: at["gamma"], Out: at["norm"], Eps: 1e-5},
		NormAct{In: View{Buf: at["raw"], Norm: at["norm"], Slope: 0.01}, Out: at["logits"]},
		DiceCE{Logits: at["logits"], Labels: at["labels"], Sums: at["sums"], Out: at["loss"], Loss: l},
		DiceCEGrad{Logits: at["logits"], Labels: at["labels"], Sums: at["sums"], Seed: at["seed"], DLogits: at["dlogits"], Weight: 1, Loss: l},
		NormGrad{
			Raw: at["raw"], Moments: at["moments"], Norm: at["norm"], Gamma: at["gamma"], DOut: at["dlogits"], DIn: at["dlogits"],
			DGamma: at["dgamma"], DBeta: at["dbeta"], Slope: 0.01, Eps: 1e-5,
		},
		ConvWeightGrad{In: []View{x}, DOut: at["dlogits"], DWeight: at["dw"], DBias: None, Stride: stride},
		GradNorm{Grads: []ID{at["dw"], at["dgamma"]}, Seed: at["seed"], Out: at["total"]},
		Update{Rule: SGD, Param: at["w"], Grad: at["dw"], State: []ID{at["velocity"]}, Hyper: at["hyper"], Norm: at["total"]},
	)
	return p, at
}

// place gives every buffer memory of its own.
func place(p *Program) {
	p.Arena = 0
	for i := range p.Buffers {
		b := &p.Buffers[i]
		b.Offset, b.Bytes = p.Arena, int64(b.Len()*4)
		p.Arena += b.Bytes
	}
}

func TestCheckAccepts(t *testing.T) {
	p, _ := small()
	if err := Check(p); err != nil {
		t.Error(err)
	}
	place(p)
	if err := Check(p); err != nil {
		t.Errorf("placed: %v", err)
	}
}

func TestCheckRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(p *Program, at map[string]ID)
		want  string
	}{
		"read before write": {func(p *Program, at map[string]ID) {
			p.Instrs[1], p.Instrs[0] = p.Instrs[0], p.Instrs[1]
		}, `reads "moments" before anything writes it`},
		"output never written": {func(p *Program, at map[string]ID) { p.New("more", Vector, Output, 1) }, `"more" is never written`},
		"input written":        {func(p *Program, at map[string]ID) { p.Buffers[at["raw"]].Role = Input }, "whose role is input"},
		"param written":        {func(p *Program, at map[string]ID) { p.Buffers[at["dw"]].Role = Param }, "whose role is param"},
		"state written":        {func(p *Program, at map[string]ID) { p.Buffers[at["raw"]].Role = State }, "whose role is state"},
		"two of one name":      {func(p *Program, at map[string]ID) { p.Buffers[at["seed"]].Name = "x" }, "is empty or taken"},
		"no name":              {func(p *Program, at map[string]ID) { p.Buffers[at["seed"]].Name = "" }, "is empty or taken"},
		"no shape":             {func(p *Program, at map[string]ID) { p.Buffers[at["seed"]].Shape = nil }, "0 axes"},
		"empty axis":           {func(p *Program, at map[string]ID) { p.Buffers[at["seed"]].Shape = []int{0} }, "shape [0]"},
		"overflow":             {func(p *Program, at map[string]ID) { p.Buffers[at["seed"]].Shape = []int{1 << 40, 1 << 40} }, "shape ["},
		"activation of 4 axes": {func(p *Program, at map[string]ID) { p.Buffers[at["raw"]].Shape = []int{2, 5, 4, 3} }, "activation of 4 axes"},
		"unknown class":        {func(p *Program, at map[string]ID) { p.Buffers[at["raw"]].Class = 9 }, "unknown class"},
		"unknown role":         {func(p *Program, at map[string]ID) { p.Buffers[at["raw"]].Role = 9 }, "unknown role"},
		"kernel as vector": {func(p *Program, at map[string]ID) {
			p.Buffers[at["gamma"]].Class = Labels
			p.Buffers[at["gamma"]].Shape = []int{1, 1, 1, 5}
		}, "is labels, need vector"},
		"conv channels": {func(p *Program, at map[string]ID) { p.Buffers[at["w"]].Shape = []int{5, 4, 3, 3, 3} }, "weight: shape [5 4], need [5 3]"},
		"conv grid":     {func(p *Program, at map[string]ID) { p.Buffers[at["raw"]].Shape = []int{2, 5, 4, 3, 3} }, "out: shape"},
		"conv moments":  {func(p *Program, at map[string]ID) { p.Buffers[at["moments"]].Shape = []int{2, 5} }, "has 10 elements, need 20"},
		"even kernel":   {func(p *Program, at map[string]ID) { p.Buffers[at["w"]].Shape = []int{5, 3, 2, 3, 3} }, "kernel [2 3 3]"},
		"labels grid":   {func(p *Program, at map[string]ID) { p.Buffers[at["labels"]].Shape = []int{2, 4, 3, 5} }, "labels: shape"},
		"sums":          {func(p *Program, at map[string]ID) { p.Buffers[at["sums"]].Shape = []int{30} }, "has 30 elements, need 31"},
		"hyper of another rule": {func(p *Program, at map[string]ID) {
			u := p.Instrs[8].(Update)
			u.Rule = AdamW
			p.Instrs[8] = u
		}, "1 states, need 2"},
		"gradient of another shape": {func(p *Program, at map[string]ID) {
			u := p.Instrs[8].(Update)
			u.Grad = at["dgamma"]
			p.Instrs[8] = u
		}, "is vector, need kernel"},
		"no such buffer": {func(p *Program, at map[string]ID) { p.Emit(Moments{In: 99, Out: at["moments"]}) }, "no buffer 99"},
		"none":           {func(p *Program, at map[string]ID) { p.Emit(Moments{In: at["raw"], Out: None}) }, "no buffer -1"},
		"stride": {func(p *Program, at map[string]ID) {
			p.Emit(Conv{In: []View{{Buf: at["x"], Norm: None}}, Weight: at["w"], Bias: None, Out: at["raw"], Moments: None, Stride: [3]int{3, 1, 1}})
		}, "stride [3 1 1]"},
		"strided over what is upsampled": {func(p *Program, at map[string]ID) {
			up := p.New("up", Kernel, Param, 3, 3, 1, 1, 1)
			p.Emit(Conv{In: []View{{Buf: at["x"], Norm: None, Up: &Upsampling{up, None}}}, Weight: at["w"], Bias: None, Out: at["raw"], Moments: None, Stride: [3]int{1, 2, 2}})
		}, "upsampled while it is read"},
		"norm of what is upsampled": {func(p *Program, at map[string]ID) {
			up := p.New("up", Kernel, Param, 3, 5, 1, 2, 2)
			p.Emit(NormAct{In: View{Buf: at["x"], Norm: None, Up: &Upsampling{up, None}}, Out: at["raw"]})
		}, "upsampled while it is read"},
		"upsampling of other channels": {func(p *Program, at map[string]ID) {
			up := p.New("up", Kernel, Param, 4, 3, 1, 2, 2)
			p.Emit(Conv{In: []View{{Buf: at["x"], Norm: None, Up: &Upsampling{up, None}}}, Weight: at["w"], Bias: None, Out: at["raw"], Moments: None, Stride: [3]int{1, 1, 1}})
		}, "weight: shape [4 3], need [3 3]"},
		"upsampling read before it is written": {func(p *Program, at map[string]ID) {
			up, out := p.New("up", Kernel, Temp, 3, 3, 1, 2, 2), p.New("out", Activation, Temp, 2, 5, 4, 12, 16)
			p.Emit(Conv{In: []View{{Buf: at["x"], Norm: None, Up: &Upsampling{up, None}}}, Weight: at["w"], Bias: None, Out: out, Moments: None, Stride: [3]int{1, 1, 1}})
		}, `reads "up" before anything writes it`},
		"no input": {func(p *Program, at map[string]ID) { p.Emit(Concat{Out: at["raw"]}) }, "in: no input"},
		"writes what it reads": {func(p *Program, at map[string]ID) {
			p.Emit(NormAct{In: View{Buf: at["raw"], Norm: at["norm"], Slope: 0.01}, Out: at["raw"]})
		}, `reads and writes "raw"`},
		"norm gradient onto its raw values": {func(p *Program, at map[string]ID) {
			g := p.Instrs[5].(NormGrad)
			g.DIn = g.Raw
			p.Instrs[5] = g
		}, `reads and writes "raw"`},
		"writes twice": {func(p *Program, at map[string]ID) {
			g := p.Instrs[5].(NormGrad)
			g.DBeta = g.DGamma
			p.Instrs[5] = g
		}, `writes "dgamma" twice`},
		"data gradient of nothing": {func(p *Program, at map[string]ID) {
			p.Emit(ConvDataGrad{DOut: at["dlogits"], Weight: at["w"], DIn: []ID{None}, Channels: []int{3}, Accumulate: []bool{false}, Stride: [3]int{1, 2, 2}})
		}, "no input is wanted"},
		"accumulate into what nothing wrote": {func(p *Program, at map[string]ID) {
			dx := p.New("dx", Activation, Temp, 2, 3, 4, 6, 8)
			p.Emit(ConvDataGrad{DOut: at["dlogits"], Weight: at["w"], DIn: []ID{dx}, Channels: []int{3}, Accumulate: []bool{true}, Stride: [3]int{1, 2, 2}})
		}, `reads "dx" before anything writes it`},
		"foreign instruction": {func(p *Program, at map[string]ID) { p.Emit(foreign{}) }, "unknown instruction"},
	} {
		t.Run(name, func(t *testing.T) {
			p, at := small()
			c.spoil(p, at)
			if err := Check(p); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

type foreign struct{}

func (foreign) Reads() []ID  { return nil }
func (foreign) Writes() []ID { return nil }

func TestCheckRefusesPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(p *Program, at map[string]ID)
		want  string
	}{
		"two writers overlap":      {func(p *Program, at map[string]ID) { p.Buffers[at["logits"]].Offset = p.Buffers[at["raw"]].Offset + 64 }, "overlap while both are alive"},
		"a param under a temp":     {func(p *Program, at map[string]ID) { p.Buffers[at["dlogits"]].Offset = p.Buffers[at["w"]].Offset }, "overlap while both are alive"},
		"past the end":             {func(p *Program, at map[string]ID) { p.Arena -= 4 }, "leaves the arena"},
		"size that overflows":      {func(p *Program, at map[string]ID) { p.Buffers[at["raw"]].Bytes = 1<<63 - 1 }, "leaves the arena"},
		"an output under a reader": {func(p *Program, at map[string]ID) { p.Buffers[at["loss"]].Offset = p.Buffers[at["sums"]].Offset }, "overlap while both are alive"},
	} {
		t.Run(name, func(t *testing.T) {
			p, at := small()
			place(p)
			c.spoil(p, at)
			if err := Check(p); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// What is dead before another buffer is written may share its memory.
func TestCheckAcceptsSharing(t *testing.T) {
	p, at := small()
	place(p)
	for under, over := range map[string]string{"sums": "dgamma", "logits": "dw", "norm": "total"} {
		p.Buffers[at[over]].Offset = p.Buffers[at[under]].Offset
	}
	if err := Check(p); err != nil {
		t.Error(err)
	}
}

func TestLifetimes(t *testing.T) {
	p, at := small()
	idle := p.New("idle", Vector, Temp, 1)
	lives := Lifetimes(p)
	for name, want := range map[string]Life{
		"x": {-1, 6}, "labels": {-1, 4}, "hyper": {-1, 8}, "w": {-1, 9}, "velocity": {-1, 9},
		"raw": {0, 5}, "logits": {2, 4}, "dlogits": {4, 6}, "loss": {3, 9}, "dw": {6, 9}, "dbeta": {5, 5},
	} {
		if diff := cmp.Diff(want, lives[at[name]]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if l := lives[idle]; l.First <= l.Last {
		t.Errorf("an unused buffer lives %v", l)
	}
}

func TestLifeOverlaps(t *testing.T) {
	for _, c := range []struct {
		a, b Life
		want bool
	}{
		{Life{0, 3}, Life{3, 5}, true},
		{Life{0, 3}, Life{4, 5}, false},
		{Life{2, 2}, Life{2, 2}, true},
		{Life{0, 9}, Life{4, 5}, true},
		{Life{-1, -1}, Life{0, 0}, false},
	} {
		if c.a.Overlaps(c.b) != c.want || c.b.Overlaps(c.a) != c.want {
			t.Errorf("%v and %v: want %v", c.a, c.b, c.want)
		}
	}
}

func TestText(t *testing.T) {
	p, at := small()
	for i, want := range map[int]string{
		0: "Conv in=[%0:x] weight=%4:w out=%7:raw moments=%8:moments stride=[1 2 2]",
		2: "NormAct in=%7:raw*%9:norm~0.01 out=%10:logits",
		3: "DiceCE logits=%10:logits labels=%1:labels sums=%11:sums out=%12:loss batchdice=true ignore=-1",
		8: "Update rule=sgd param=%4:w grad=%14:dw state=[%6:velocity] hyper=%3:hyper norm=%17:total",
	} {
		if diff := cmp.Diff(want, p.Text(p.Instrs[i])); diff != "" {
			t.Errorf("instruction %d: %s", i, diff)
		}
	}
	p.Buffers[at["x"]].Offset, p.Buffers[at["x"]].Bytes = 64, 4608
	for _, want := range []string{"%0 input activation [2 3 4 6 8] x @64+4608\n", "%4 param kernel [5 3 3 3 3] w\n", "   7 GradNorm grads=[%14:dw %15:dgamma]"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("no %q in\n%s", want, p)
		}
	}
}

func TestFind(t *testing.T) {
	p, at := small()
	if p.Find("gamma") != at["gamma"] || p.Find("no such name") != None {
		t.Error("find gives another buffer")
	}
}
