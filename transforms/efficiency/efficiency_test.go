package efficiency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// asWork makes this test binary a command that holds memory and a processor for a while.
const asWork = "EFFICIENCY_TEST_AS_WORK"

func TestMain(m *testing.M) {
	switch os.Getenv(asWork) {
	case "work":
		held := bytes.Repeat([]byte{1}, 96<<20)
		for start := time.Now(); time.Since(start) < 400*time.Millisecond; {
			held[0]++
		}
		fmt.Println(len(held))
		os.Exit(0)
	case "fail":
		os.Exit(3)
	case "wait":
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func work(ctx context.Context, what string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), asWork+"="+what)
	return cmd
}

func TestWatch(t *testing.T) {
	const card = 3 << 30
	u, err := watch(work(t.Context(), "work"), func() int64 { return card }, "/proc", 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if u.Seconds < 0.4 || u.CPUSeconds <= 0.01 || u.CPUSeconds > u.Seconds*float64(u.Processors) || len(u.Samples) < 2 {
		t.Errorf("%d samples, %+v", len(u.Samples), Use{Seconds: u.Seconds, CPUSeconds: u.CPUSeconds})
	}
	// The area under a curve of the share is the time taken, whatever the samples saw.
	if want := 100 * u.CPUSeconds / float64(u.Processors); math.Abs(u.CPUArea-want) > 1e-6*want {
		t.Errorf("area of %g %% s, want %g", u.CPUArea, want)
	}
	if u.PeakGPU != card || u.GPUArea <= u.GPUAreaOver || u.GPUArea <= 0 {
		t.Errorf("card: peak %d of %d, areas %g and %g", u.PeakGPU, card, u.GPUArea, u.GPUAreaOver)
	}
	if runtime.GOOS == "linux" && (u.PeakRAM < 96<<20 || u.PeakRAM > 1<<30) {
		t.Errorf("%d bytes of %s, want 96 MiB and some", u.PeakRAM, u.Memory)
	}
}

// Samples in quick succession are one: a share of a short time says nothing.
func TestSamplesApart(t *testing.T) {
	w := watcher{least: 0.05}
	w.add(Sample{At: 0.1, RAM: 7}, 0.1)
	w.add(Sample{At: 0.2, RAM: 9}, 0.2)
	w.add(Sample{At: 0.201, RAM: 8, GPU: 1}, 0.3)
	got := w.use.Samples
	if len(got) != 2 || got[1].At != 0.201 || got[1].RAM != 9 || got[1].GPU != 1 || math.Abs(got[1].CPU-percent(0.2, 0.101, processors)) > 1e-9 {
		t.Errorf("%+v", got)
	}
}

func TestWatchEnds(t *testing.T) {
	var exit *exec.ExitError
	if _, err := Watch(work(t.Context(), "fail"), nil); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("a command that fails: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Watch(work(ctx, "wait"), nil); err == nil || time.Since(start) > 30*time.Second {
		t.Errorf("a command whose context is done: %v after %v", err, time.Since(start))
	}
	if _, err := Watch(exec.CommandContext(t.Context(), "/nowhere/to/be/found"), nil); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("no command: %v", err)
	}
}

// A made-up /proc: a process with a child and a grandchild.
func TestProcesses(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("7/task/7/children", "8 ")
	write("8/task/8/children", "")
	write("8/task/81/children", "9 ")
	write("7/stat", "7 (odd) name) S 1 1 1 0 -1 0 0 0 0 0 150 25 20 5 0 0")
	for pid, kb := range map[int]int{7: 1000, 8: 200, 9: 30} {
		write(fmt.Sprintf("%d/status", pid), fmt.Sprintf("Name: x\nVmRSS:\t%d kB\n", kb))
	}
	s := system(root)
	pids := s.tree(7)
	if !slices.Equal(pids, []int{7, 8, 9}) {
		t.Errorf("the tree is %v", pids)
	}
	if got := s.cpuSeconds(7); got != 2 {
		t.Errorf("%g CPU seconds, want 2", got)
	}
	var h sharing
	if bytes, kind := h.memory(s, pids); bytes != 1230<<10 || kind != "rss" {
		t.Errorf("without PSS: %d %s", bytes, kind)
	}
	for pid, kb := range map[int]int{7: 900, 8: 100, 9: 30} {
		write(fmt.Sprintf("%d/smaps_rollup", pid), fmt.Sprintf("Rss: 5 kB\nPss:  %d kB\n", kb))
	}
	h = sharing{}
	if bytes, kind := h.memory(s, pids); bytes != 1030<<10 || kind != "pss" {
		t.Errorf("with PSS: %d %s", bytes, kind)
	}
	// Until PSS may be asked for again it is RSS less what was shared.
	h.next = time.Now().Add(time.Hour)
	write("7/status", "VmRSS: 2000 kB\n")
	if bytes, kind := h.memory(s, pids); bytes != 2030<<10 || kind != "pss" {
		t.Errorf("in between: %d %s", bytes, kind)
	}
}

func measured(name, mirror, id string, seconds float64, gpu int64) Measured {
	u := Use{Seconds: seconds, CPUSeconds: seconds, Memory: "pss", Samples: []Sample{{At: seconds / 2, RAM: 3 << 30, GPU: gpu, CPU: 50}, {At: seconds}}}
	u.sum()
	return Measured{System: System{Name: name, Mirror: mirror, Features: []int{16, 320}, Random: name == "nnunet", Model: "student fold 0"}, Case: id, Use: u}
}

func TestTable(t *testing.T) {
	all := []Measured{
		measured("nnunet", "none", "a", 40, 3<<30), measured("nnunet", "x,y,z", "a", 400, 0),
		measured("student", "none", "a", 10, 0), measured("student", "none", "b", 30, 0),
	}
	if area, over := all[0].GPUArea, all[0].GPUAreaOver; area != 3072*20 || over != 1024*20 {
		t.Errorf("GPU areas %g and %g", area, over)
	}
	var columns []Column
	for _, i := range []int{0, 1, 2} {
		columns = append(columns, Mean(all[i].System, all))
	}
	if c := columns[2]; c.Cases != 2 || c.Seconds != 20 || c.PeakRAM != 3<<30 {
		t.Errorf("mean %+v", c)
	}
	text := Table(columns)
	for _, want := range []string{
		"nnunet mirrored x,y,z", "40.0 (535.4)", "400.0 (535.4)", "20.0 (53.5)", "3.00 (22.69*)", "3.00 (13.78)", "3.000 (5.911)", "- (1.722)",
		"random weights: times and memory only", "student fold 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(Table(columns[2:]), "random") {
		t.Error("a table of trained models speaks of random weights")
	}
	if got := all[1].File(); got != "nnunet-mirrored-xyz" {
		t.Error(got)
	}
	table, err := CSV(all)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	if len(lines) != 5 || strings.Count(lines[0], ",") != len(header)-1 || !strings.HasPrefix(lines[3], "a,student,none,student fold 0,,0.000,10.000,10.000,") {
		t.Errorf("CSV:\n%s", table)
	}
}

func TestPlot(t *testing.T) {
	heights := map[bool]int{}
	for _, gpu := range []bool{false, true} {
		m := measured("student", "none", "a", 10, 0)
		if gpu {
			m = measured("student", "none", "a", 10, 1<<30)
		}
		data, err := Plot("a", []Measured{m, measured("nnunet", "none", "a", 20, 0)})
		if err != nil {
			t.Fatal(err)
		}
		image, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		heights[gpu] = image.Bounds().Dy()
	}
	if heights[true] <= heights[false] || heights[false] < 200 {
		t.Errorf("heights %v: a card has a panel of its own", heights)
	}
}
