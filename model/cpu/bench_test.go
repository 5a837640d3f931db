//go:build linux

package cpu

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"noisystudent/model/program"
)

var perOp = flag.Bool("ops", false, "benchmarks print the CPU time and share of the peak of every instruction (with -v)")

// BenchmarkSmallStep and BenchmarkDemoStep are training steps of the demo's network
// and of one twice as wide, BenchmarkStep and BenchmarkForward are of the
// paper's. Times are CPU time a thread, the least of all runs: on a shared machine
// that is steadier than the wall clock. Shares are of what the kernels do from the
// first-level cache, see peak.
func BenchmarkSmallStep(b *testing.B) { benchmark(b, small, true) }
func BenchmarkDemoStep(b *testing.B)  { benchmark(b, demo, true) }
func BenchmarkStep(b *testing.B)      { benchmark(b, paper, true) }
func BenchmarkForward(b *testing.B)   { benchmark(b, paper, false) }

// precisions names the kinds of program that are measured beside each other.
var precisions = map[program.Precision]string{program.Exact: "exact", program.Float32: "fp32", program.Half: "bf16"}

func benchmark(b *testing.B, n network, train bool) {
	for _, table := range tables() {
		if table.name == "generic" && n.patch == paper.patch {
			continue // minutes
		}
		for _, threads := range []int{1, 2} {
			for precision, name := range precisions {
				if precision == program.Half && table.half == nil {
					continue
				}
				b.Run(fmt.Sprintf("%s/%d/%s", table.name, threads, name), func(b *testing.B) {
					d := open(table, threads)
					l := n.load(b, d, train, precision)
					c := newClock(l)
					for b.Loop() { // from the second run on the image is what came after it in its memory
						c.run()
					}
					c.report(b)
					must(b, l.Close())
					must(b, d.Close())
				})
			}
		}
	}
}

// clock takes the least CPU time of every op of a program.
type clock struct {
	l     *loaded
	least []time.Duration
	run1  time.Duration
	peak  float64
}

func newClock(l *loaded) *clock {
	return &clock{l: l, least: make([]time.Duration, len(l.ops)), peak: peak(&l.dev.table.conv)}
}

func cpuTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

// run is Run with a look at the clock after each op.
func (c *clock) run() {
	begin := cpuTime()
	last := begin
	for i, o := range c.l.ops {
		for _, f := range o.phases {
			c.l.dev.pool.do(c.l.workers, f)
		}
		now := cpuTime()
		if d := now - last; c.least[i] == 0 || d < c.least[i] {
			c.least[i] = d
		}
		last = now
	}
	if d := last - begin; c.run1 == 0 || d < c.run1 {
		c.run1 = d
	}
}

// kindTime adds up the ops of one name.
type kindTime struct {
	name  string
	count int
	time  time.Duration
	flop  float64
}

func (c *clock) report(b *testing.B) {
	kinds := map[string]*kindTime{}
	all := 0.0
	for i, o := range c.l.ops {
		in := c.l.p.Instrs[min(i, len(c.l.p.Instrs)-1)] // updates are one op, the last
		k := kinds[o.name]
		if k == nil {
			k = &kindTime{name: o.name}
			kinds[o.name] = k
		}
		flop := flops(c.l.p, in)
		k.count++
		k.time += c.least[i]
		k.flop += flop
		all += flop
		if *perOp {
			b.Logf("%9.1f us %s  %s", float64(c.least[i])/1e3, c.rate(flop, c.least[i]), c.l.p.Text(in))
		}
	}
	var list []*kindTime
	for _, k := range kinds {
		list = append(list, k)
	}
	slices.SortFunc(list, func(x, y *kindTime) int { return int(y.time - x.time) })
	for _, k := range list {
		if *perOp {
			b.Logf("%9.2f ms %s %4d  %s", float64(k.time)/1e6, c.rate(k.flop, k.time), k.count, k.name)
		}
	}
	threads := float64(c.l.dev.threads)
	b.ReportMetric(float64(c.run1)/threads/1e6, "cpu-ms/thread")
	b.ReportMetric(all/float64(c.run1), "GFLOP/s")
	b.ReportMetric(100*all/float64(c.run1)/c.peak, "%peak")
}

// rate says what a core did a second, and its share of the peak.
func (c *clock) rate(flop float64, took time.Duration) string {
	r := flop / float64(took)
	return fmt.Sprintf("%6.1f GFLOP/s %4.0f %%", r, 100*r/c.peak)
}

// flops counts nominal multiplications and additions: padding included.
func flops(p *program.Program, in program.Instr) float64 {
	switch i := in.(type) {
	case program.Conv:
		return kernelFlops(p, i.Weight, i.Out) + upFlops(p, i.In)
	case program.ConvWeightGrad:
		return kernelFlops(p, i.DWeight, i.DOut) + upFlops(p, i.In)
	case program.ConvDataGrad:
		return kernelFlops(p, i.Weight, i.DOut)
	case program.ConvTransposed:
		return kernelFlops(p, i.Weight, i.In.Buf)
	case program.ConvTransposedWeightGrad:
		return kernelFlops(p, i.DWeight, i.In.Buf)
	case program.ConvTransposedDataGrad:
		return kernelFlops(p, i.Weight, i.DIn)
	}
	return 0
}

func kernelFlops(p *program.Program, weight, grid program.ID) float64 {
	s := p.Buffers[grid].Shape
	return 2 * float64(p.Buffers[weight].Len()) * float64(s[0]*voxels(s))
}

// upFlops is of the upsamplings that a convolution does while it reads.
func upFlops(p *program.Program, in []program.View) (n float64) {
	for _, v := range in {
		if v.Up != nil {
			n += kernelFlops(p, v.Up.Weight, v.Buf)
		}
	}
	return n
}
