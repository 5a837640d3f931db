package ref_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"noisystudent/io/iotest"
	"noisystudent/model/ref"
)

// Tolerances of the fixtures, which are those of packages op and loss (ORIGIN.md
// there), relative to the largest value of an array.
const (
	opsTolerance  = 2e-5
	lossTolerance = 1e-5
)

func near(t *testing.T, name string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", name, len(got), len(want))
		return
	}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - float64(v)); !(d <= tolerance*max(largest, 1e-3)) {
			t.Errorf("%s: element %d is %g, want %g", name, i, got[i], v)
			return
		}
	}
}

func grid(s []int) [3]int { return [3]int(s[2:5]) }

func TestConvEqualsPyTorch(t *testing.T) {
	f := iotest.Tensors(t, "../op/testdata/ops.safetensors")
	for name, stride := range map[string][3]int{
		"conv_k133s1.": {1, 1, 1}, "conv_k333s1.": {1, 1, 1}, "conv_k333s122.": {1, 2, 2}, "conv_k333s222.": {2, 2, 2},
	} {
		at := func(n string) []float32 { return f[name+n].Data }
		x, w := f[name+"x"].Shape, f[name+"w"].Shape
		g := ref.Geometry{N: x[0], Cin: x[1], Cout: w[0], In: grid(x), Kernel: grid(w), Stride: stride}
		if g.Out() != grid(f[name+"y"].Shape) {
			t.Errorf("%s: output grid %v, want %v", name, g.Out(), f[name+"y"].Shape)
			continue
		}
		y, gx := make([]float32, len(at("y"))), make([]float32, len(at("x")))
		gw, gb := make([]float32, len(at("w"))), make([]float32, len(at("b")))
		ref.Conv(g, at("x"), at("w"), at("b"), y)
		ref.ConvDataGrad(g, at("gy"), at("w"), gx)
		ref.ConvWeightGrad(g, at("x"), at("gy"), gw, gb)
		near(t, name+"y", y, at("y"), opsTolerance)
		near(t, name+"gx", gx, at("gx"), opsTolerance)
		near(t, name+"gw", gw, at("gw"), opsTolerance)
		near(t, name+"gb", gb, at("gb"), opsTolerance)
	}
}

func TestConvTransposedEqualsPyTorch(t *testing.T) {
	f := iotest.Tensors(t, "../op/testdata/ops.safetensors")
	for _, name := range []string{"convT_s122.", "convT_s222."} {
		at := func(n string) []float32 { return f[name+n].Data }
		x, w := f[name+"x"].Shape, f[name+"w"].Shape
		g := ref.Geometry{N: x[0], Cin: x[1], Cout: w[1], In: grid(x), Kernel: grid(w)}
		y, gx := make([]float32, len(at("y"))), make([]float32, len(at("x")))
		gw, gb := make([]float32, len(at("w"))), make([]float32, len(at("b")))
		ref.ConvTransposed(g, at("x"), at("w"), at("b"), y)
		ref.ConvTransposedDataGrad(g, at("gy"), at("w"), gx)
		ref.ConvTransposedWeightGrad(g, at("x"), at("gy"), gw, gb)
		near(t, name+"y", y, at("y"), opsTolerance)
		near(t, name+"gx", gx, at("gx"), opsTolerance)
		near(t, name+"gw", gw, at("gw"), opsTolerance)
		near(t, name+"gb", gb, at("gb"), opsTolerance)
	}
}

func TestNormEqualsPyTorch(t *testing.T) {
	f := iotest.Tensors(t, "../op/testdata/ops.safetensors")
	at := func(n string) []float32 { return f["inorm_lrelu."+n].Data }
	shape := f["inorm_lrelu.x"].Shape
	s := ref.Shape{N: shape[0], C: shape[1], V: shape[2] * shape[3] * shape[4]}
	moments, scale := make([]float32, 2*s.N*s.C), make([]float32, 2*s.N*s.C)
	y, gx := make([]float32, s.Len()), make([]float32, s.Len())
	gw, gb := make([]float32, s.C), make([]float32, s.C)
	ref.Moments(s, at("x"), moments)
	ref.NormScale(s, moments, at("w"), at("b"), 1e-5, scale)
	ref.NormAct(s, at("x"), scale, 0.01, y)
	v := ref.Norm[float32]{Raw: at("x"), Moments: moments, Scale: scale, Gamma: at("w"), Slope: 0.01, Eps: 1e-5}
	ref.NormGrad(s, v, at("gy"), gx, gw, gb)
	near(t, "y", y, at("y"), opsTolerance)
	near(t, "gx", gx, at("gx"), opsTolerance)
	near(t, "gw", gw, at("gw"), opsTolerance)
	near(t, "gb", gb, at("gb"), opsTolerance)
}

func TestLossEqualsNnUNet(t *testing.T) {
	f := iotest.Tensors(t, "../loss/testdata/dc_ce_loss.safetensors")
	for name, c := range map[string]struct {
		batchDice      bool
		ignore         int
		loss, dice, ce float32
	}{
		"c5_batchdice":  {true, -1, 2.656184434890747, -0.18777447938919067, 2.843958854675293},
		"c5_sampledice": {false, -1, 2.6711196899414062, -0.20045819878578186, 2.8715779781341553},
		"c14_batchdice": {true, -1, 4.064166069030762, -0.0718371570110321, 4.136003017425537},
		"c5_ignore":     {true, 5, 2.563554525375366, -0.2014555186033249, 2.765010118484497},
		"c14_absent":    {true, -1, 4.163266181945801, -0.027601858600974083, 4.190867900848389},
	} {
		shape, logits := f[name+".logits"].Shape, f[name+".logits"].Data
		s := ref.Shape{N: shape[0], C: shape[1], V: shape[2] * shape[3] * shape[4]}
		labels := bytes(f[name+".target"].Data)
		l := ref.Loss[float32]{BatchDice: c.batchDice, Ignore: c.ignore}
		out, sums, grad := make([]float32, 3), make([]float32, ref.SumsLen(s)), make([]float32, s.Len())
		ref.DiceCE(s, logits, labels, l, sums, out)
		ref.DiceCEGrad(s, logits, labels, l, sums, 1, grad)
		for i, want := range []float32{c.loss, c.dice, c.ce} {
			near(t, name, out[i:i+1], []float32{want}, lossTolerance)
		}
		near(t, name+" gradient", grad, f[name+".grad"].Data, lossTolerance)
	}
}

func bytes(values []float32) []uint8 {
	out := make([]uint8, len(values))
	for i, v := range values {
		out[i] = uint8(v)
	}
	return out
}

// The pyramid fixture is cut from the labels of a real CT.
func TestLabelsNearestEqualsPyTorch(t *testing.T) {
	dir := os.Getenv("NOISYSTUDENT_CT")
	if dir == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	path := filepath.Join(dir, "..", "reference", "ds_targets.safetensors")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs the fixtures beside the real CT: %v", err)
	}
	f := iotest.Tensors(t, path)
	from := f["scale0"].Shape
	for _, name := range []string{"scale1", "scale2", "scale3"} {
		to, want := f[name].Shape, bytes(f[name].Data)
		got := make([]uint8, len(want))
		ref.LabelsNearest(1, [3]int(from[1:]), [3]int(to[1:]), bytes(f["scale0"].Data), got)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: voxel %d is %d, want %d", name, i, got[i], want[i])
			}
		}
	}
}
