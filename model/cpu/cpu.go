// Package cpu is the device that runs programs on the processor. It stores and sums
// in float32; factors of convolutions are float32, or bfloat16 for a program.Half
// where the CPU multiplies that faster (see Half).
//
// The idea: activations lie in blocks of 16 channels, [C/16][D][H][W][16] for each
// element of the batch, so that one 64-byte vector is one voxel of a block.
// Convolutions write raw outputs; norm, shift and leaky ReLU of a program.View are
// applied while the next convolution packs the rows it needs into a ring of
// planes that stays in the second-level cache; so is a transposed convolution that a
// view asks for. A micro-kernel then walks a list of
// (input row, weight row) offsets: padding leaves rows out of the list, a channel
// concatenation makes it longer. Convolutions, transposed convolutions and the
// gradients of both by their input are one driver (convOp) with different lists;
// both gradients by weight are another (gradOp). Unless a program is
// Exact, kernels of 3x3 along H and W at stride 1 are computed by Winograd's
// transforms (winograd.go) with a third to a half of the arithmetic.
//
// Micro-kernels come in tables, one per kind of CPU: generated assembly for AVX-512
// and for AVX2 with FMA (see _asm), and plain Go. Beside AVX-512's are those of
// bfloat16 where AVX512_BF16 is faster, on AMD's CPUs. The table is chosen once, from what CPU and
// operating system offer; NOISYSTUDENT_CPU=avx512, avx2 or generic forces one, and
// the build tag noasm leaves only plain Go.
//
// Results do not depend on the number of threads: work is cut by shape alone and
// partial sums are added in a fixed order. They differ in the last bits between
// tables. Package ref defines what every instruction means; devicetest checks it.
package cpu

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

// maxThreads bounds what a caller may ask for.
const maxThreads = 1024

// cpuDevice is a table of kernels and a pool of threads.
type cpuDevice struct {
	table   *table
	threads int
	sizes   sizes
	pool    *pool
	loads   atomic.Int64
}

// Options of Open. Threads is how many to use, 0 for as many as Go may. Kernels
// forces a kernel table by name; empty leaves it to NOISYSTUDENT_CPU and then to
// what is fastest here.
type Options struct {
	Threads int
	Kernels string
}

// Open returns the CPU device. It refuses a forced kernel table that this CPU or
// build does not have.
func Open(o Options) (device.Device, error) {
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	if threads < 1 || threads > maxThreads {
		return nil, fmt.Errorf("cpu: open: %d threads, need 1 to %d or 0 for all", threads, maxThreads)
	}
	t, err := chooseTable(o.kernels())
	if err != nil {
		return nil, fmt.Errorf("cpu: open: %w", err)
	}
	return open(t, threads), nil
}

func (o Options) kernels() string {
	if o.Kernels == "" {
		return os.Getenv("NOISYSTUDENT_CPU")
	}
	return o.Kernels
}

func open(t *table, threads int) *cpuDevice {
	return &cpuDevice{table: t, threads: threads, sizes: standard, pool: newPool(threads)}
}

// path is a table of this build, what it needs and whether it runs here.
type path struct {
	table *table
	needs string
	here  bool
}

// paths lists what this build has, fastest first; the last is plain Go, which needs
// nothing.
func paths() []path { return append(nativePaths(), path{genericTable(), "", true}) }

// tables lists the paths that run here.
func tables() []*table {
	var list []*table
	for _, p := range paths() {
		if p.here {
			list = append(list, p.table)
		}
	}
	return list
}

// chooseTable returns a table by name, the fastest for an empty one.
func chooseTable(name string) (*table, error) {
	best := tables()[0]
	if name == "" {
		return best, nil
	}
	var names []string
	for _, p := range paths() {
		switch {
		case p.table.name != name:
			names = append(names, p.table.name)
		case p.here:
			return p.table, nil
		default:
			return nil, fmt.Errorf("kernels %s need %s, which this CPU or its system lacks; the best that runs here is %s", name, p.needs, best.name)
		}
	}
	return nil, fmt.Errorf("no kernels %q: this build has %s; the best that runs here is %s", name, strings.Join(names, ", "), best.name)
}

// Name says which kernels run on how many threads.
func (d *cpuDevice) Name() string {
	if d.threads == 1 {
		return fmt.Sprintf("cpu %s, 1 thread", d.table.name)
	}
	return fmt.Sprintf("cpu %s, %d threads", d.table.name, d.threads)
}

// Bytes returns the size of a buffer in blocks of 16 channels, a multiple of 64.
func (d *cpuDevice) Bytes(b program.Buffer, _ program.Precision) int64 {
	n := int64(b.Len())
	if b.Class != program.Labels {
		n = 4 * int64(floats(b))
	}
	return (n + pixelBytes - 1) / pixelBytes * pixelBytes
}

// Close ends the threads. It refuses while programs are loaded.
func (d *cpuDevice) Close() error {
	if n := d.loads.Load(); n > 0 {
		return fmt.Errorf("cpu: close: %d loaded programs are still open", n)
	}
	d.pool.close()
	d.pool = newPool(1)
	return nil
}
