package cpu

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"noisystudent/model/compile"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/unet"
)

// network is a whole program with inputs, for tests and benchmarks.
type network struct {
	spec  unet.Spec
	patch [3]int
	batch int
}

// demo trains in a minute; paper is what nnU-Net plans for FLARE22 with 16 features.
var (
	demo = network{unet.Spec{
		InChannels: 1, Classes: 5, Features: []int{16, 32, 64, 64},
		Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
		Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}},
		ConvsEncoder: []int{2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2}, DeepSupervision: true,
	}, [3]int{16, 48, 64}, 1}
	paper = network{unet.Spec{
		InChannels: 1, Classes: 14, Features: []int{16, 32, 64, 128, 256, 320},
		Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
		Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}},
		ConvsEncoder: []int{2, 2, 2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2, 2, 2}, DeepSupervision: true,
	}, [3]int{40, 224, 192}, 1}
)

func (n network) withFeatures(f ...int) network {
	k := len(f)
	s := &n.spec
	s.Features, s.Kernels, s.Strides = f, s.Kernels[:k], s.Strides[:k]
	s.ConvsEncoder, s.ConvsDecoder = s.ConvsEncoder[:k], s.ConvsDecoder[:k-1]
	return n
}

// load compiles, places and loads the network with random weights and inputs.
func (n network) load(t testing.TB, d *cpuDevice, train bool) *loaded {
	t.Helper()
	var p *program.Program
	var net *compile.Network
	var err error
	if train {
		p, net, err = compile.Train(n.spec, n.batch, n.patch, compile.LossConfig{BatchDice: true, Ignore: -1}, program.SGD, 12)
	} else {
		p, net, err = compile.Infer(n.spec, n.batch, n.patch)
	}
	if err == nil {
		err = compile.Place(p, d)
	}
	if err != nil {
		t.Fatal(err)
	}
	dl, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	l := dl.(*loaded)
	s := random.New(3)
	for id, b := range p.Buffers {
		if b.Role != program.Param {
			continue
		}
		v := make([]float32, b.Len())
		for i := range v {
			v[i] = 1
			if !strings.HasSuffix(b.Name, "norm.weight") {
				v[i] = float32(s.Normal()) * 0.1
			}
		}
		must(t, l.Write(program.ID(id), v))
	}
	image := make([]float32, p.Buffers[net.Image].Len())
	labels := make([]uint8, len(image))
	for i := range image {
		image[i] = float32(s.Normal())
		labels[i] = uint8(i / 8 % n.spec.Classes)
	}
	must(t, l.Write(net.Image, image))
	if train {
		must(t, l.WriteLabels(net.Labels, labels))
		must(t, l.Write(net.Seed, []float32{1}))
		must(t, l.Write(net.Hyper, optim.Default(program.SGD).Vector(program.SGD, 1)))
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cpuTime is the CPU time of this process: on a shared machine its minimum over
// runs is steadier than the wall clock.
func cpuTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

// work counts nominal multiply-adds of an instruction, times two.
func work(p *program.Program, in program.Instr) float64 {
	switch i := in.(type) {
	case program.Conv:
		return kernelWork(p, i.Weight, i.Out)
	case program.ConvWeightGrad:
		return kernelWork(p, i.DWeight, i.DOut)
	case program.ConvDataGrad:
		return kernelWork(p, i.Weight, i.DOut)
	case program.ConvTransposed:
		return kernelWork(p, i.Weight, i.In.Buf)
	case program.ConvTransposedWeightGrad:
		return kernelWork(p, i.DWeight, i.In.Buf)
	case program.ConvTransposedDataGrad:
		return kernelWork(p, i.Weight, i.DIn)
	}
	return 0
}

func kernelWork(p *program.Program, weight, grid program.ID) float64 {
	s := p.Buffers[grid].Shape
	return 2 * float64(p.Buffers[weight].Len()) * float64(s[0]*voxels(s))
}

// profile prints the smallest CPU time of every op over runs.
func profile(t testing.TB, l *loaded, runs int) {
	best := make([]time.Duration, len(l.ops))
	total := time.Hour
	for range runs {
		all := cpuTime()
		for i := range l.ops {
			start := cpuTime()
			for _, f := range l.ops[i].phases {
				l.dev.pool.do(l.workers, f)
			}
			if d := cpuTime() - start; best[i] == 0 || d < best[i] {
				best[i] = d
			}
		}
		total = min(total, cpuTime()-all)
	}
	kinds := map[string]time.Duration{}
	counts, flops := map[string]int{}, map[string]float64{}
	sum, allFlops := time.Duration(0), 0.0
	for i, o := range l.ops {
		w := 0.0
		if i < len(l.p.Instrs) {
			w = work(l.p, l.p.Instrs[i])
		}
		t.Logf("%8.1f us %6.1f GF/s  %s %s", float64(best[i])/1e3, w/float64(best[i]), o.name, text(l, i))
		kinds[o.name] += best[i]
		counts[o.name]++
		flops[o.name] += w
		sum += best[i]
		allFlops += w
	}
	var names []string
	for k := range kinds {
		names = append(names, k)
	}
	sort.Slice(names, func(i, j int) bool { return kinds[names[i]] > kinds[names[j]] })
	for _, k := range names {
		t.Logf("%8.2f ms %4d %6.1f GF/s  %s", float64(kinds[k])/1e6, counts[k], flops[k]/float64(kinds[k]), k)
	}
	t.Logf("sum of minima %v, smallest run %v, %.2f GFLOP nominal, %.0f GF/s", sum, total, allFlops/1e9, allFlops/float64(sum))
}

func text(l *loaded, i int) string {
	if i >= len(l.p.Instrs) {
		return ""
	}
	in := l.p.Instrs[i]
	s := ""
	for _, id := range append(in.Reads(), in.Writes()...) {
		if b := l.p.Buffers[id]; b.Class != program.Vector {
			s += fmt.Sprint(b.Shape)
		}
		if len(s) > 80 {
			break
		}
	}
	return s
}

// BenchmarkStep is a whole training step; BenchmarkForward an inference.
func BenchmarkStep(b *testing.B)    { benchmark(b, demo, true) }
func BenchmarkForward(b *testing.B) { benchmark(b, paper, false) }

func benchmark(b *testing.B, n network, train bool) {
	for _, table := range tables() {
		if table.name == "generic" {
			continue // minutes for the paper's network
		}
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/%d", table.name, threads), func(b *testing.B) {
				d := open(table, threads)
				l := n.load(b, d, train)
				least := time.Hour
				for b.Loop() {
					start := cpuTime()
					must(b, l.Run(b.Context()))
					least = min(least, cpuTime()-start)
				}
				b.ReportMetric(float64(least)/float64(threads)/1e6, "cpu-ms/thread")
				must(b, l.Close())
				must(b, d.Close())
			})
		}
	}
}
