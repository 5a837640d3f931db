package driver_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/emulator"
)

// opened is the stand-in's card, which must have everything back at the test's end, and
// a stream.
func opened(t *testing.T) (*emulator.Emulator, *driver.Context, driver.Stream) {
	t.Helper()
	e := emulator.Here(t)
	control, err := e.Control()
	if err != nil {
		t.Fatal(err)
	}
	d, err := driver.Open(e.Library())
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Stream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), c.Close()); err != nil {
			t.Error(err)
		}
		if alive := control.Alive(); len(alive) > 0 {
			t.Errorf("not given back: %v", alive)
		}
	})
	return e, c, s
}

const source = `extern "C" __global__ void __launch_bounds__(64, 2) increase(float *x, int n, float by) {
  DYNAMIC_SHARED(s); float *mine = (float *)s; int i = threadIdx.x;
  if (i < n) mine[i] = x[i];
  __syncthreads();
  if (i < n) x[i] = mine[i] + by; }`

// loaded compiles the source and finds its kernel.
func loaded(t *testing.T, e *emulator.Emulator, c *driver.Context) driver.Function {
	t.Helper()
	image, err := e.Compile("increase", "#define DYNAMIC_SHARED(name) char *name = emu::dynamic_shared\n"+source)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Load(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Unload(); err != nil {
			t.Error(err)
		}
	})
	if _, err := m.Function("decrease"); err == nil || !strings.Contains(err.Error(), "cuModuleGetFunction decrease: CUDA_ERROR_NOT_FOUND") {
		t.Errorf("a kernel that is not there: %v", err)
	}
	f, err := m.Function("increase")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// memory takes memory of the card and page-locked memory.
func memory(t *testing.T, c *driver.Context, floats int) (driver.Pointer, []float32) {
	t.Helper()
	p, err := c.Alloc(int64(4 * floats))
	if err != nil {
		t.Fatal(err)
	}
	host, err := c.AllocHost(4 * floats)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Free(p), c.FreeHost(host)); err != nil {
			t.Error(err)
		}
	})
	return p, unsafe.Slice((*float32)(unsafe.Pointer(&host[0])), floats)
}

func bytesOf(v []float32) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v)) }

// TestWorkWaits checks that the stand-in does nothing before it is waited for, so that a
// forgotten Sync shows, and that graphs repeat what was captured.
func TestWorkWaits(t *testing.T) {
	e, c, s := opened(t)
	f := loaded(t, e, c)
	x, host := memory(t, c, 8)
	launch := &driver.Launch{Name: "increase", Function: f, Grid: [3]int{1, 1, 1}, Block: [3]int{64, 1, 1}, Shared: 32, Args: driver.Pack(x, int32(8), float32(2))}
	defer launch.Args.Free()
	g, err := c.Graph([]*driver.Launch{launch, launch})
	if err != nil {
		t.Fatal(err)
	}
	for i := range host {
		host[i] = float32(i)
	}
	if err := errors.Join(s.Upload(x, bytesOf(host)), s.Launch(launch), s.Run(g), s.Run(g), s.Download(bytesOf(host), x)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(host, []float32{0, 1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("before a sync the memory holds %v", host)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if want := []float32{10, 11, 12, 13, 14, 15, 16, 17}; !slices.Equal(host, want) {
		t.Errorf("after a launch and two graphs of two: %v, want %v", host, want)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	e, c, _ := opened(t)
	f := loaded(t, e, c)
	for says, args := range map[string][]any{
		"": {driver.Pointer(0), int32(8), float32(2)},
		"2 arguments for a kernel that takes more":   {driver.Pointer(0), int32(8)},
		"4 arguments for a kernel that takes 3":      {driver.Pointer(0), int32(8), float32(2), int32(1)},
		"argument 1 has 8 bytes, the kernel takes 4": {driver.Pointer(0), int64(8), float32(2)},
		"argument 0 has 4 bytes, the kernel takes 8": {int32(0), int32(8), float32(2)},
		"0 arguments for a kernel that takes more":   {},
		"argument 2 has 8 bytes, the kernel takes 4": {driver.Pointer(0), int32(8), driver.Pointer(0)},
	} {
		a := driver.Pack(args...)
		err := c.Check(f, a)
		a.Free()
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%v: %v, want %q", args, err, says)
		}
	}
}

func TestWrongUseIsRefused(t *testing.T) {
	e, c, s := opened(t)
	f := loaded(t, e, c)
	x, host := memory(t, c, 8)
	launch := func(at driver.Pointer, threads, shared int) error {
		args := driver.Pack(at, int32(8), float32(2))
		defer args.Free()
		return s.Launch(&driver.Launch{Name: "increase", Function: f, Grid: [3]int{1, 1, 1}, Block: [3]int{threads, 1, 1}, Shared: shared, Args: args})
	}
	for name, err := range map[string]error{
		"a block above the bounds":           launch(x, 128, 32),
		"a pointer to nowhere":               launch(x+1<<40, 64, 32),
		"a pointer past the end":             launch(x+33, 64, 32),
		"shared memory that is not allowed":  launch(x, 64, 48<<10+1),
		"an upload past the end":             s.Upload(x+4, bytesOf(host)),
		"an upload of memory not locked":     s.Upload(x, make([]byte, 32)),
		"a download to memory not locked":    s.Download(make([]byte, 32), x),
		"a fill past the end":                s.Fill(x, 0, 9),
		"more shared memory than there is":   c.AllowShared(f, 300<<10),
		"memory given back that is not ours": c.Free(x + 4),
	} {
		if refused := (*driver.Error)(nil); !errors.As(err, &refused) || refused.Name != "CUDA_ERROR_INVALID_VALUE" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(c.AllowShared(f, 100<<10), launch(x, 64, 100<<10), s.Sync()); err != nil {
		t.Errorf("100 KiB that were asked for: %v", err)
	}
}

// TestCheckedKernels checks that what goes astray is found.
func TestCheckedKernels(t *testing.T) {
	e, c, s := opened(t)
	f := loaded(t, e.Checked(), c)
	x, _ := memory(t, c, 8)
	run := func(n int32, shared int) error {
		args := driver.Pack(x, n, float32(2))
		defer args.Free()
		launch := &driver.Launch{Name: "increase", Function: f, Grid: [3]int{1, 1, 1}, Block: [3]int{64, 1, 1}, Shared: shared, Args: args}
		return errors.Join(s.Launch(launch), s.Sync())
	}
	for name, err := range map[string]error{"memory": run(9, 64), "shared memory": run(8, 28)} {
		if astray := (*driver.Error)(nil); !errors.As(err, &astray) || astray.Name != "CUDA_ERROR_ILLEGAL_ADDRESS" {
			t.Errorf("past the end of %s: %v", name, err)
		}
	}
	if err := run(8, 32); err != nil {
		t.Errorf("within bounds: %v", err)
	}
}
