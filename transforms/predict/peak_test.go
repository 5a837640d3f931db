package predict

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"noisystudent/io/store"
	"noisystudent/model/compile"
	"noisystudent/model/engine"
	"noisystudent/model/random"
	"noisystudent/model/unet"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
)

// alone is what a process of its own does: it labels one scan.
type alone struct {
	Config Config
	Scan   cases.Case
}

// childVariable names the file of an alone.
const childVariable = "NOISYSTUDENT_PREDICT_ALONE"

// TestScanAlone is the other process of TestScanTakesWhatIsAdmitted.
func TestScanAlone(t *testing.T) {
	name := os.Getenv(childVariable)
	if name == "" {
		t.Skip("is started by TestScanTakesWhatIsAdmitted")
	}
	var a alone
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), a.Config.Store)
	if err != nil {
		t.Fatal(err)
	}
	before := highWater(t)
	row, err := Scan(t.Context(), st, a.Config, a.Scan)
	if err != nil || row.Outcome != manifest.Done {
		t.Fatalf("%+v, %v", row, err)
	}
	fmt.Printf("\npeak %d %d\n", before, highWater(t))
}

// highWater is the most memory that this process has held, in bytes.
func highWater(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("the system does not say what a process holds: ", err)
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// peakOf labels a scan in a process of its own and returns the most memory that it held,
// and what it held before.
func peakOf(t *testing.T, a alone) (before, peak int64) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "alone.json")
	data, err := json.Marshal(a)
	if err == nil {
		err = os.WriteFile(name, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-test.run=^TestScanAlone$")
	c.Env = append(os.Environ(), childVariable+"="+name)
	out, err := c.CombinedOutput()
	if _, last, found := strings.Cut(string(out), "\npeak "); err == nil && found {
		_, err = fmt.Sscan(last, &before, &peak)
	}
	if err != nil || peak == 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	return before, peak
}

// huge writes an int16 scan as scanners' files have it, LPS: a body in air with noise.
func huge(t *testing.T, folder string, shape [3]int, spacing [3]float64) cases.Case {
	t.Helper()
	c := cases.Case{ID: "huge", Set: cases.Test, Image: filepath.Join(folder, "huge_0000.nii.gz")}
	f, err := os.Create(c.Image)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(z, 1<<20)
	_, err = w.Write(headerOf(shape, spacing))
	noise, row := random.New(5), make([]byte, 2*shape[2])
	for i := range shape[0] * shape[1] {
		y := float64(i%shape[1])/float64(shape[1]) - 0.5
		for x := range shape[2] {
			v := -1000.0
			if u := float64(x)/float64(shape[2]) - 0.5; u*u+y*y < 0.18 {
				v = 40 + 30*math.Sin(40*u)*math.Cos(30*y) + 10*float64(noise.At(uint64(i*shape[2]+x))>>62)
			}
			binary.LittleEndian.PutUint16(row[2*x:], uint16(int16(v)))
		}
		if err == nil {
			_, err = w.Write(row)
		}
	}
	for _, end := range []func() error{w.Flush, z.Close, f.Close} {
		if err == nil {
			err = end()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// headerOf is the header of an int16 scan whose rows run to the left and to the back.
func headerOf(shape [3]int, spacing [3]float64) []byte {
	b, le := make([]byte, 352), binary.LittleEndian
	le.PutUint32(b, 348)
	for i, n := range []int{3, shape[2], shape[1], shape[0], 1, 1, 1, 1} {
		le.PutUint16(b[40+2*i:], uint16(n))
	}
	le.PutUint16(b[70:], 4) // int16
	le.PutUint16(b[72:], 16)
	float := func(at int, v float64) { le.PutUint32(b[at:], math.Float32bits(float32(v))) }
	for i, mm := range []float64{1, spacing[2], spacing[1], spacing[0]} {
		float(76+4*i, mm)
	}
	float(108, 352)
	b[123] = 2               // mm
	le.PutUint16(b[254:], 1) // sform
	float(280, -spacing[2])
	float(300, -spacing[1])
	float(320, spacing[0])
	copy(b[344:], "n+1\x00")
	return b
}

// sparse writes a scan of zeros that takes no room on the disk.
func sparse(t *testing.T, folder string, shape [3]int, spacing [3]float64) string {
	t.Helper()
	name := filepath.Join(folder, "sparse_0000.nii")
	err := os.WriteFile(name, headerOf(shape, spacing), 0o644)
	if err == nil {
		err = os.Truncate(name, 352+2*int64(shape[0]*shape[1]*shape[2]))
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// paperPlan is the low-footprint network on FLARE's grid, with its features divided.
func paperPlan(by int) plan.Plan {
	p := fittest.Plan()
	p.Labels = nil
	for k := range 13 {
		p.Labels = append(p.Labels, cases.Label{ID: k + 1, Name: fmt.Sprint("organ ", k+1)})
	}
	p.Spacing, p.PatchSize = [3]float64{2.5, 0.8, 0.8}, [3]int{40, 224, 192}
	k, s := [3]int{3, 3, 3}, [3]int{2, 2, 2}
	p.Network = unet.Spec{
		InChannels: 1, Classes: 14, Features: []int{16, 32, 64, 128, 256, 320}, DeepSupervision: true,
		Kernels:      [][3]int{{1, 3, 3}, k, k, k, k, k},
		Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, s, s, s, {1, 2, 2}},
		ConvsEncoder: []int{2, 2, 2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2, 2, 2},
	}
	for i := range p.Network.Features {
		p.Network.Features[i] /= by
	}
	p.Inference.Precision = plan.FP32
	return p
}

// arena is what a network of a plan takes on this machine's CPU.
func arena(t *testing.T, p plan.Plan) int64 {
	t.Helper()
	e, err := engine.Open(engine.Options{Device: "cpu", Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	infer, _, err := compile.Infer(p.Network, 1, p.PatchSize)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := e.Place(infer)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestScanTakesWhatIsAdmitted labels a large scan in a process of its own: its peak is what ScanBytes
// says beside the network. With NOISYSTUDENT_SCAN=Z,Y,X the scan has that shape and the plan
// is the paper's, with its features divided by NOISYSTUDENT_THIN, if that is set.
func TestScanTakesWhatIsAdmitted(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("labels a scan of 256x256x128 voxels")
	}
	p, shape, spacing := fittest.Plan(), [3]int{128, 256, 256}, [3]float64{2, 1.4, 1.4}
	p.PatchSize, p.Inference.StepSize = [3]int{16, 64, 64}, 1
	if asked := os.Getenv("NOISYSTUDENT_SCAN"); asked != "" {
		if _, err := fmt.Sscanf(asked, "%d,%d,%d", &shape[0], &shape[1], &shape[2]); err != nil {
			t.Fatal(err)
		}
		thin := 1
		if text := os.Getenv("NOISYSTUDENT_THIN"); text != "" {
			if _, err := fmt.Sscan(text, &thin); err != nil {
				t.Fatal(err)
			}
		}
		p, spacing = paperPlan(thin), [3]float64{2.5, 0.8, 0.8}
		p.Inference.StepSize = 0.5
	}
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	fittest.Weights(t, st, p, "weights", 3)
	scan := huge(t, t.TempDir(), shape, spacing)
	g, frame, err := cases.ReadHeader(t.Context(), scan, p.Orientation)
	if err != nil {
		t.Fatal(err)
	}
	for _, export := range []string{"labels", "probabilities"} {
		p.Inference.Export = export
		c := Config{Store: st.Root(), Plan: p, Models: []ModelRef{{"weights", "random"}}, Options: Options{Device: "cpu", Threads: 2, Memory: 1 << 40}}
		before, peak := peakOf(t, alone{c, scan})
		need := c.Footprint(g, frame)
		if took := peak - before - arena(t, p); took > need.Bytes() || took < need.Bytes()/2 {
			t.Errorf("%s: %d MiB beside the network, admitted %v", export, took>>20, need)
		}
		t.Logf("%s of %v: peak %d MiB, %d MiB before, arena %d MiB, admitted %v", export, g, peak>>20, before>>20, arena(t, p)>>20, need)
	}
}
