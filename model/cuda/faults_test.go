package cuda_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/cuda"
	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/emulator"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

// controlled is the stand-in libcuda, which must be back to normal and have everything
// back at the test's end.
func controlled(t *testing.T) (cuda.Options, *emulator.Control) {
	t.Helper()
	o := emulatedOptions(t)
	c, err := o.Compiler.(*emulator.Emulator).Control()
	if err != nil {
		t.Fatal(err)
	}
	if alive := c.Alive(); len(alive) > 0 {
		t.Fatalf("an earlier test has left %v", alive)
	}
	t.Cleanup(func() {
		c.Fail("", 0, 0)
		c.Card(13000, false)
		c.Seed(0)
		if alive := c.Alive(); len(alive) > 0 {
			t.Errorf("not given back: %v", alive)
		}
	})
	return o, c
}

// doubled is a program that computes 2a as a convolution, whose weights are packed before.
func doubled(t *testing.T, d *cuda.Device) (p *program.Program, a, w, out program.ID) {
	t.Helper()
	p = &program.Program{Precision: program.Float32}
	a = p.New("a", program.Activation, program.Input, 1, 3, 2, 2, 5)
	w = p.New("w", program.Kernel, program.Param, 3, 3, 1, 1, 1)
	out = p.New("out", program.Activation, program.Output, 1, 3, 2, 2, 5)
	p.Emit(program.Conv{In: []program.View{{Buf: a, Norm: program.None}}, Weight: w, Bias: program.None, Out: out, Moments: program.None, Stride: [3]int{1, 1, 1}})
	if err := compile.Place(p, d); err != nil {
		t.Fatal(err)
	}
	return p, a, w, out
}

// everything opens a card, does some work on it and gives all back, and returns the
// first error; what is given back is given back whatever happens.
func everything(t *testing.T, o cuda.Options, work func(*testing.T, *cuda.Device) error) (err error) {
	cards, err := cuda.Cards(o)
	if err != nil {
		return err
	}
	o.Card = cards[0].Number
	d, err := cuda.Open(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return work(t, d)
}

// doubles loads, writes, runs, profiles, reads and blends.
func doubles(t *testing.T, d *cuda.Device) (err error) {
	p, a, w, out := doubled(t, d)
	l, err := d.Load(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	values, got := make([]float32, p.Buffers[a].Len()), make([]float32, p.Buffers[a].Len())
	for i := range values {
		values[i] = float32(i)
	}
	if err := errors.Join(l.Write(w, []float32{2, 0, 0, 0, 2, 0, 0, 0, 2}), l.Write(a, got)); err != nil {
		return err
	}
	if err := l.Run(t.Context()); err != nil {
		return err
	}
	if _, err := cuda.Profile(l, 1); err != nil {
		return err
	}
	if err := l.(device.Ahead).Ahead(a, values); err != nil {
		return err
	}
	if err := l.Run(t.Context()); err != nil {
		return err
	}
	if err := errors.Join(l.Read(out, got), l.ReadPlane(out, 1, make([]float32, 30))); err != nil {
		return err
	}
	for i, v := range got {
		if v != 2*values[i] {
			return fmt.Errorf("element %d is %g, want %g", i, v, 2*values[i])
		}
	}
	return blend(l, out)
}

// classifies is a life in half precision, of a convolution with a stride, which takes more
// shared memory than a kernel has unasked, and the loss of what it gives: channel k of every
// other voxel. Voxels and labels come ahead.
func classifies(t *testing.T, d *cuda.Device) (err error) {
	const in, classes, width = 17, 8, 9
	p := &program.Program{Precision: program.Float16}
	x := p.New("x", program.Activation, program.Input, 1, in, 1, 1, 2*width-1)
	labels := p.New("labels", program.Labels, program.Input, 1, 1, 1, width)
	w := p.New("w", program.Kernel, program.Param, classes, in, 3, 3, 3)
	logits := p.New("logits", program.Activation, program.Temp, 1, classes, 1, 1, width)
	sums := p.New("sums", program.Vector, program.Temp, classes*3+1)
	loss := p.New("loss", program.Vector, program.Output, 3)
	p.Emit(program.Conv{In: []program.View{{Buf: x, Norm: program.None}}, Weight: w, Bias: program.None, Out: logits, Moments: program.None, Stride: [3]int{2, 2, 2}})
	p.Emit(program.DiceCE{Logits: logits, Labels: labels, Sums: sums, Out: loss, Loss: program.Loss{BatchDice: true, Ignore: -1, ClassWeights: program.None}})
	if err := compile.Place(p, d); err != nil {
		t.Fatal(err)
	}
	l, err := d.Load(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	weights, voxels, classOf := make([]float32, p.Buffers[w].Len()), make([]float32, p.Buffers[x].Len()), make([]uint8, width)
	for k := range classes {
		weights[(k*in+k)*27+13] = 1
	}
	for i := range classOf {
		classOf[i] = uint8(3 * i % classes)
		voxels[int(classOf[i])*(2*width-1)+2*i] = 20
	}
	ahead := l.(device.Ahead)
	if err := errors.Join(l.Write(w, weights), ahead.Ahead(x, voxels), ahead.AheadLabels(labels, classOf)); err != nil {
		return err
	}
	if err := l.Run(t.Context()); err != nil {
		return err
	}
	got := make([]float32, 3)
	if err := l.Read(loss, got); err != nil {
		return err
	}
	if ce := got[2]; !(ce >= 0 && ce < 1e-5) {
		return fmt.Errorf("cross-entropy %g of labels that are sure, want 0", ce)
	}
	return nil
}

// blend adds logits (1, 3, 2, 2, 5) to planes, and reads and clears one.
func blend(l device.Loaded, logits program.ID) (err error) {
	b, err := l.(device.Blender).Blend(logits, device.Blend{Models: 1, Size: [2]int{2, 5}, Weights: slices.Repeat([]float32{1}, 20)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	labels := make([]uint8, 10)
	if err := errors.Join(b.Add(0, [3]int{}, [3]bool{}, 1), b.Labels(1, labels, make([]float32, 10)), b.Scores(1, make([]float32, 30)), b.Clear(1)); err != nil {
		return err
	}
	if want := bytes.Repeat([]byte{2}, 10); !bytes.Equal(labels, want) {
		return fmt.Errorf("labels %v, want %v", labels, want)
	}
	return nil
}

// TestEveryCallFails lets each call to the driver fail once, the first, the second and
// so on, until none is left: the error names it, and nothing is lost. No function of the
// driver's is left out but the one that names errors.
func TestEveryCallFails(t *testing.T) {
	o, c := controlled(t)
	failed := map[string]bool{}
	for name, work := range map[string]func(*testing.T, *cuda.Device) error{"doubles": doubles, "classifies": classifies} {
		t.Run(name, func(t *testing.T) { failing(t, o, c, work, failed) })
	}
	source, err := os.ReadFile("driver/calls.go")
	if err != nil {
		t.Fatal(err)
	}
	functions := regexp.MustCompile(`"(cu[A-Z]\w+)"`).FindAllStringSubmatch(string(source), -1)
	if len(functions) < 40 {
		t.Fatalf("only %d functions are found", len(functions))
	}
	for _, f := range functions {
		if f[1] != "cuGetErrorName" && !slices.ContainsFunc(slices.Collect(maps.Keys(failed)), func(call string) bool { return strings.HasPrefix(f[1], call) }) {
			t.Errorf("%s has not failed", f[1])
		}
	}
}

// failing has each call of a life fail and notes which they were.
func failing(t *testing.T, o cuda.Options, c *emulator.Control, work func(*testing.T, *cuda.Device) error, calls map[string]bool) {
	for n := 1; ; n++ {
		c.Fail("", n, 700)
		err := everything(t, o, work)
		if !c.Failed() {
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d calls", n-1)
			if n < 60 {
				t.Error("the driver is hardly called")
			}
			return
		}
		var failed *driver.Error
		if !errors.As(err, &failed) || failed.Code != 700 || failed.Name != "CUDA_ERROR_ILLEGAL_ADDRESS" || !strings.HasPrefix(failed.Call, "cu") {
			t.Fatalf("call %d fails with %v", n, err)
		}
		call, _, _ := strings.Cut(failed.Call, " ")
		calls[call] = true
		if alive := c.Alive(); len(alive) > 0 {
			t.Fatalf("after %v: not given back: %v", err, alive)
		}
	}
}

// TestRemedies checks that what goes wrong on machines says what to do about it.
func TestRemedies(t *testing.T) {
	o, c := controlled(t)
	for name, s := range map[string]struct {
		set  func()
		is   any
		says string
	}{
		"old driver":     {func() { c.Card(11080, false) }, new(*driver.TooOldError), "supports CUDA 11.8, need 12.0; update it"},
		"busy card":      {func() { c.Card(13000, true) }, new(*driver.BusyError), "another process holds card 0"},
		"no card":        {func() { c.Fail("cuInit", 1, 100) }, new(*driver.NoCardError), "CUDA_VISIBLE_DEVICES"},
		"two libraries":  {func() { c.Fail("cuInit", 1, 803) }, new(*driver.Error), "reboot"},
		"no such card":   {func() { o.Card = 7 }, new(*driver.NoCardError), "no card 7: the driver sees 1"},
		"a mad driver":   {func() { c.Fail("cuDeviceGetName", 1, 12345) }, new(*driver.Error), "cuDeviceGetName: unknown error (12345)"},
		"nothing at all": {func() {}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.set()
			d, err := cuda.Open(o)
			c.Card(13000, false)
			c.Fail("", 0, 0)
			o.Card = 0
			if s.is == nil {
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, s.is) || !strings.Contains(err.Error(), s.says) {
				t.Errorf("%v, want a %T that says %q", err, s.is, s.says)
			}
		})
	}
}

// TestBusyCardIsListed checks that the others are seen too.
func TestBusyCardIsListed(t *testing.T) {
	o, c := controlled(t)
	c.Card(12040, true)
	cards, err := cuda.Cards(o)
	if err != nil || len(cards) != 1 || cards[0].Free != -1 || cards[0].Driver != (driver.Version{Major: 12, Minor: 4}) {
		t.Errorf("cards %+v, %v", cards, err)
	}
}

// TestMemory checks that a program is let in where there is room for all of it, whoever
// has taken the rest, and that its plan says what it takes.
func TestMemory(t *testing.T) {
	o, c := controlled(t)
	first, err := cuda.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	second, err := cuda.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &program.Program{}
	x := p.New("x", program.Activation, program.Input, 1, 8, 10, 256, 256) // 20 MiB
	p.Emit(program.Add{A: x, B: x, Out: p.New("sum", program.Activation, program.Output, 1, 8, 10, 256, 256)})
	if err := compile.Place(p, first); err != nil {
		t.Fatal(err)
	}
	want, err := first.Memory(p)
	if err != nil || want < 5*20<<20 || want > 5*20<<20+1<<20 {
		t.Fatalf("a program of two activations, their exchange and two places ahead takes %d bytes, %v", want, err)
	}
	before, err := first.Free()
	if err != nil {
		t.Fatal(err)
	}
	a, err := first.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	free, err := second.Free()
	if err != nil || before-free != want {
		t.Errorf("loaded, %d bytes are taken, want %d (%v)", before-free, want, err)
	}
	b, err := second.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = second.Load(p)
	if full := (*driver.MemoryError)(nil); !errors.As(err, &full) || full.Want != want || full.Free != 256<<20-2*want || !strings.Contains(err.Error(), "out of memory: want 101 MiB, free are 55 of 256 MiB; take a smaller patch") {
		t.Errorf("a third program: %v", err)
	}
	if n := c.Alive()["pieces of memory"]; n != 8 {
		t.Errorf("%d pieces of memory of two programs, want 8", n)
	}
	for _, closing := range []interface{ Close() error }{a, b, first, second} {
		if err := closing.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestBlendMemory checks that all that blending takes is counted before any is taken.
func TestBlendMemory(t *testing.T) {
	o, c := controlled(t)
	d, err := cuda.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	p, _, _, out := doubled(t, d)
	l, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	before, err := d.Free()
	if err != nil {
		t.Fatal(err)
	}
	pieces := c.Alive()["pieces of memory"]
	for _, s := range []struct {
		size   [2]int
		scores bool
		fits   bool
	}{{[2]int{300, 200}, false, true}, {[2]int{300, 200}, true, true}, {[2]int{1500, 1000}, false, true}, {[2]int{1500, 1200}, true, false}} {
		b := device.Blend{Models: 2, Size: s.size, Weights: make([]float32, 20), Scores: s.scores}
		want := d.BlendBytes(3, [3]int{2, 2, 5}, b)
		blended, err := l.(device.Blender).Blend(out, b)
		free, freeErr := d.Free()
		if freeErr != nil {
			t.Fatal(freeErr)
		}
		if !s.fits {
			if full := (*driver.MemoryError)(nil); !errors.As(err, &full) || full.Want != want || full.Free != before || free != before || c.Alive()["pieces of memory"] != pieces {
				t.Errorf("%v: %v, and %d bytes are gone; want an error that names %d bytes", s.size, err, before-free, want)
			}
			continue
		}
		if err != nil || before-free != want {
			t.Errorf("%v: takes %d bytes, planned were %d: %v", s.size, before-free, want, err)
			continue
		}
		if err := errors.Join(blended.Scores(0, make([]float32, 3*s.size[0]*s.size[1])), blended.Close()); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(l.Close(), d.Close()); err != nil {
		t.Error(err)
	}
}
