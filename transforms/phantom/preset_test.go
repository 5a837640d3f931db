package phantom

import (
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noisystudent/model/random"
)

var update = flag.Bool("update", false, "write the digests of the benchmark cohorts anew")

// digest covers what a reader sees of a case: grid, HU as they are stored, labels.
func digest(c *scan) string {
	h := sha256.New()
	_ = binary.Write(h, binary.LittleEndian, c.image.Spacing)
	_ = binary.Write(h, binary.LittleEndian, c.image.Origin)
	for _, n := range c.image.Shape {
		_ = binary.Write(h, binary.LittleEndian, int64(n))
	}
	for _, v := range c.image.Data {
		_ = binary.Write(h, binary.LittleEndian, int16(math.Round(float64(v))))
	}
	h.Write(c.labels.Data)
	h.Write([]byte(c.axes))
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

func mustPreset(t *testing.T, name string) Options {
	t.Helper()
	o, err := Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	o.Out = "mem://" + name
	return o
}

// The benchmark cohorts stay as they are, on every processor: figures on them can be
// compared for years. A change on purpose raises version and runs the test with -update.
func TestPresetDigests(t *testing.T) {
	for _, name := range Presets() {
		o := mustPreset(t, name)
		file := filepath.Join("testdata", name+".sha256")
		var want []string
		if data, err := os.ReadFile(file); err == nil {
			want = strings.Split(strings.TrimSpace(string(data)), "\n")
		} else if !*update {
			t.Fatal(err)
		}
		var lines []string
		for i, task := range o.Tasks() {
			if testing.Short() && i%9 > 0 {
				continue
			}
			line := fmt.Sprintf("%s  %s", digest(o.scan(task, nil)), task.ID())
			lines = append(lines, line)
			if !*update && (i >= len(want) || want[i] != line) {
				t.Errorf("%s: %s is not what it was", name, task.ID())
			}
		}
		if *update && !testing.Short() {
			if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o666); err != nil {
				t.Fatal(err)
			}
		} else if len(want) != len(o.Tasks()) {
			t.Errorf("%s has %d cases, %s %d lines", name, len(o.Tasks()), file, len(want))
		}
	}
}

// A benchmark has the sets that it promises; the truth about the pool lies where no
// pipeline looks.
func TestPresetFolders(t *testing.T) {
	o := mustPreset(t, FlareMini)
	o.Labelled, o.Unlabelled, o.Validation, o.Test = 1, 1, 1, 1
	o.Shape, o.Spacing = [3]int{10, 24, 32}, [3]float64{9, 10, 10}
	if err := Generate(t.Context(), o, 2); err != nil {
		t.Fatal(err)
	}
	all := files(t, o.Out)
	for _, name := range []string{
		"imagesTr/labelled_0000_0000.nii.gz", "labelsTr/labelled_0000.nii.gz", "imagesUn/unlabelled_0000_0000.nii.gz", "truth/unlabelled_0000.nii.gz",
		"imagesVal/validation_0000_0000.nii.gz", "labelsVal/validation_0000.nii.gz", "imagesTs/test_0000_0000.nii.gz", "labelsTs/test_0000.nii.gz", "dataset.json",
	} {
		if all[name] == nil {
			t.Errorf("there is no %s", name)
		}
		delete(all, name)
	}
	if len(all) > 0 {
		t.Errorf("more than promised: %v", all)
	}
	if _, err := Preset("flare"); err == nil || !strings.Contains(err.Error(), FlareMiniHard) {
		t.Errorf("an unknown preset: %v", err)
	}
}

// ill is an upright patient of normal size who has what is asked for.
func ill(f illnesses, seed uint64) *scan {
	d := source
	d.ill = f
	return render(random.New(seed), d, [3]int{24, 48, 64}, [3]float64{5, 5, 5})
}

// Illnesses change the organs that they are about.
func TestIllnesses(t *testing.T) {
	for seed := range uint64(4) {
		well := count(ill(illnesses{}, seed).labels)
		if n := count(ill(illnesses{noGallbladder: 1}, seed).labels); n[gallbladder] != 0 || n[liver] < well[liver] {
			t.Errorf("seed %d: without gallbladder: %v, well: %v", seed, n, well)
		}
		if n := count(ill(illnesses{oneKidney: 1}, seed).labels); (n[leftKidney] == 0) == (n[rightKidney] == 0) {
			t.Errorf("seed %d: one kidney: %v", seed, n)
		}
		sick := ill(illnesses{tumour: 1}, seed)
		healthy := ill(illnesses{}, seed)
		changed := 0
		for i, v := range sick.image.Data {
			if math.Abs(float64(v-healthy.image.Data[i])) > 5 {
				changed++
			}
		}
		if changed < 20 { // 2.5 ml
			t.Errorf("seed %d: a large tumour changes %d voxels", seed, changed)
		}
	}
}

// Mirrored organs: the liver changes sides, kidneys keep the name of their side.
func TestMirrored(t *testing.T) {
	right := func(c *scan, label uint8) (part float64) {
		n, in := 0.0, 0.0
		for i, l := range c.labels.Data {
			if l == label {
				n++
				if i%c.labels.Shape[2] >= c.labels.Shape[2]/2 {
					in++
				}
			}
		}
		return in / n
	}
	for seed := range uint64(4) {
		well, mirrored := ill(illnesses{}, seed), ill(illnesses{mirrored: 1}, seed)
		for name, c := range map[string]*scan{"well": well, "mirrored": mirrored} {
			if r, l := right(c, rightKidney), right(c, leftKidney); r < 0.9 || l > 0.1 {
				t.Errorf("seed %d, %s: %.2f of the right and %.2f of the left kidney are on the right", seed, name, r, l)
			}
		}
		if a, b := right(well, liver), right(mirrored, liver); a < 0.7 || b > 0.3 {
			t.Errorf("seed %d: %.2f of the liver is on the right, mirrored %.2f", seed, a, b)
		}
	}
}

// A cohort deformed from a scan takes the preset's domains, mirrored organs among them.
func TestPresetFromScan(t *testing.T) {
	base := &base{}
	c := Options{Out: "mem://x", Labelled: 1, Shape: [3]int{30, 60, 80}, Spacing: [3]float64{4, 4, 4}}.scan(Task{labelledSet, 0}, nil)
	base.image, base.labels = c.image, c.labels
	if err := base.measure("a phantom"); err != nil {
		t.Fatal(err)
	}
	o := mustPreset(t, FlareMiniHard)
	centre := func(c *scan) float64 { // of the liver, voxels to the right of the middle
		sum, n := 0.0, 0.0
		for i, l := range c.labels.Data {
			if l == liver {
				sum, n = sum+float64(i%c.labels.Shape[2]), n+1
			}
		}
		return sum/n - float64(c.labels.Shape[2])/2
	}
	left := 0
	for _, task := range o.Tasks() {
		if task.Set != validationSet && task.Set != testSet {
			continue
		}
		if centre(o.scan(task, base)) < 0 {
			left++
		}
	}
	if left < 1 || left > 12 {
		t.Errorf("the liver is on the left in %d of 36 cases, want about one in ten", left)
	}
	if digest(o.scan(Task{testSet, 0}, base)) == digest(o.scan(Task{testSet, 1}, base)) {
		t.Error("two cases are the same")
	}
}
