package cpu

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"noisystudent/model/device"
	"noisystudent/model/device/devicetest"
	"noisystudent/model/program"
)

// splinters cuts the suite's small shapes into many parts.
var splinters = sizes{ring: 8 << 10, chunk: 8 << 10, sums: 4 << 20, copies: 1 << 10, items: 16, work: 1 << 8, voxels: 24, piece: 48, weights: 128 << 10, cells: 4}

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
	for _, p := range paths() {
		for precision, suffix := range map[program.Precision]string{program.Exact: "exact", program.Float32: "fp32"} {
			t.Run(p.table.name+"/"+suffix, func(t *testing.T) {
				if !p.here {
					t.Skipf("%s needs %s", p.table.name, p.needs)
				}
				s := standard
				s.winograd = 0
				open := opener(p.table, 2, s)
				devicetest.Run(t, func() device.Device { return precise{open(), precision} })
			})
		}
	}
}

// TestParts does it with work cut fine, so that bands, ranges of planes, spans of
// channels, rings and partial sums are many.
func TestParts(t *testing.T) {
	notShort(t)
	for _, table := range tables() {
		t.Run(table.name, func(t *testing.T) { devicetest.Run(t, opener(table, 3, splinters)) })
	}
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
	half := func(threads int) func() device.Device {
		return devicetest.Half(opener(halfTables()[0], threads, splinters))
	}
	t.Run("bf16", func(t *testing.T) { devicetest.Same(t, half(1), half(2), half(7)) })
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
	for _, way := range ways() {
		var want [][]float32
		for _, threads := range []int{1, 2, 7} {
			d := open(way.table, threads)
			d.sizes = splinters
			l := n.load(t, d, true, way.precision)
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
				t.Errorf("%s: %d threads differ from 1", way.name, threads)
			}
			must(t, l.Close())
			must(t, d.Close())
		}
	}
}

// TestAllocations demands that neither a training step nor a tile takes anything from
// Go's heap, on each table, also where classes fill more than one block.
func TestAllocations(t *testing.T) {
	n := demo.withFeatures(8, 16)
	n.patch = [3]int{4, 8, 16}
	for _, classes := range []int{5, 17} {
		n.spec.Classes = classes
		for _, way := range ways() {
			for _, train := range []bool{true, false} {
				d := open(way.table, 2)
				l := n.load(t, d, train, way.precision)
				ctx := t.Context()
				if got := testing.AllocsPerRun(5, func() { must(t, l.Run(ctx)) }); got > 0 {
					t.Errorf("%s, %d classes, training %v: %g allocations a run", way.name, classes, train, got)
				}
				must(t, l.Close())
				must(t, d.Close())
			}
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
		{"avx512", 1, offered("avx512")},
		{"avx2", 1, offered("avx2")},
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

func offered(name string) bool {
	return slices.ContainsFunc(tables(), func(t *table) bool { return t.name == name })
}

// TestChooseTable demands that a refusal says what is missing and what runs.
func TestChooseTable(t *testing.T) {
	if _, err := chooseTable("sse"); err == nil || !strings.Contains(err.Error(), "generic") {
		t.Errorf("unknown kernels: error %v", err)
	}
	for _, p := range paths() {
		table, err := chooseTable(p.table.name)
		if p.here {
			if err != nil || table.name != p.table.name {
				t.Errorf("%s runs here: error %v", p.table.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), p.needs) || !strings.Contains(err.Error(), tables()[0].name) {
			t.Errorf("%s does not run here: error %v", p.table.name, err)
		}
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
