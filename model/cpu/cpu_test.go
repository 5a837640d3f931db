package cpu

import (
	"reflect"
	"strings"
	"testing"

	"noisystudent/model/device"
	"noisystudent/model/device/devicetest"
	"noisystudent/model/program"
)

// splinters cuts the suite's small shapes into many parts.
var splinters = sizes{ring: 8 << 10, chunk: 8 << 10, sums: 4 << 20, items: 16, work: 1 << 8, voxels: 24, piece: 48, weights: 128 << 10, cells: 4}

func opener(t *table, threads int, s sizes) func() device.Device {
	return func() device.Device {
		d := open(t, threads)
		d.sizes = s
		return d
	}
}

// precise loads every program with one precision.
type precise struct {
	device.Device
	precision program.Precision
}

func (d precise) Load(p *program.Program) (device.Loaded, error) {
	q := *p
	q.Precision = d.precision
	return d.Device.Load(&q)
}

// TestDevice holds every path to package ref, exact and with transformed products
// wherever they are offered.
func TestDevice(t *testing.T) {
	notShort(t)
	for _, name := range []string{"avx512", "generic"} {
		for precision, suffix := range map[program.Precision]string{program.Exact: "exact", program.Float32: "fp32"} {
			t.Run(name+"/"+suffix, func(t *testing.T) {
				table, err := chooseTable(name)
				if err != nil {
					t.Skipf("needs %s: %v", name, err)
				}
				s := standard
				s.winograd = 0
				open := opener(table, 2, s)
				devicetest.Run(t, func() device.Device { return precise{open(), precision} })
			})
		}
	}
}

// TestParts does it with work cut fine, so that bands, ranges of planes, spans of
// channels, rings and partial sums are many.
func TestParts(t *testing.T) {
	notShort(t)
	devicetest.Run(t, opener(tables()[0], 3, splinters))
}

// TestThreads demands the same bytes from any number of threads. It is what the
// short race pass keeps: no reference to wait for, and all the threads.
func TestThreads(t *testing.T) {
	for _, table := range tables() {
		t.Run(table.name, func(t *testing.T) {
			s := splinters
			devicetest.Same(t, opener(table, 1, s), opener(table, 2, s), opener(table, 7, s))
		})
	}
}

func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("short: the suite's reference takes minutes under the race detector")
	}
}

// TestNetworkThreads runs whole training steps: the same bytes from 1, 2 and 7 threads.
func TestNetworkThreads(t *testing.T) {
	n := demo.withFeatures(8, 17, 32)
	n.batch, n.patch = 2, [3]int{4, 12, 28}
	for _, table := range tables() {
		var want [][]float32
		for _, threads := range []int{1, 2, 7} {
			d := open(table, threads)
			d.sizes = splinters
			l := n.load(t, d, true, program.Float32)
			for range 2 {
				must(t, l.Run(t.Context()))
			}
			var got [][]float32
			for id, b := range l.p.Buffers {
				if b.Role == program.Param || b.Role == program.Output {
					v := make([]float32, b.Len())
					must(t, l.Read(program.ID(id), v))
					got = append(got, v)
				}
			}
			if want == nil {
				want = got
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %d threads differ from 1", table.name, threads)
			}
			must(t, l.Close())
			must(t, d.Close())
		}
	}
}

// TestAllocations bounds what a training step takes from Go's heap: nothing that
// grows with the network, on any path, with transforms or without.
func TestAllocations(t *testing.T) {
	n := demo.withFeatures(8, 16)
	n.patch = [3]int{4, 8, 16}
	for _, table := range tables() {
		for _, precision := range []program.Precision{program.Exact, program.Float32} {
			d := open(table, 1)
			d.sizes.winograd = 0
			l := n.load(t, d, true, precision)
			ctx := t.Context()
			if got := testing.AllocsPerRun(2, func() { must(t, l.Run(ctx)) }); got > 40 {
				t.Errorf("%s, precision %d: %g allocations a step", table.name, precision, got)
			}
			must(t, l.Close())
			must(t, d.Close())
		}
	}
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		env     string
		threads int
		ok      bool
	}{
		{"", 1, true},
		{"", 0, true},
		{"generic", 2, true},
		{"", -1, false},
		{"", 1 << 20, false},
		{"sse", 1, false},
		{"avx512", 1, tables()[0].name == "avx512"},
	} {
		t.Setenv("NOISYSTUDENT_CPU", c.env)
		d, err := Open(Options{Threads: c.threads})
		if (err == nil) != c.ok {
			t.Errorf("NOISYSTUDENT_CPU=%s, %d threads: error %v", c.env, c.threads, err)
		}
		if err != nil {
			continue
		}
		if c.env != "" && !strings.Contains(d.Name(), c.env) {
			t.Errorf("NOISYSTUDENT_CPU=%s opens %s", c.env, d.Name())
		}
		must(t, d.Close())
	}
}

func TestCloseRefusesWhileLoaded(t *testing.T) {
	n := demo.withFeatures(8, 16)
	n.patch = [3]int{2, 8, 8}
	d := open(tables()[0], 2)
	l := n.load(t, d, false, program.Float32)
	if d.Close() == nil {
		t.Error("a device with a loaded program was closed")
	}
	must(t, l.Close())
	if l.Close() == nil {
		t.Error("a program was closed twice")
	}
	must(t, d.Close())
}
