package pipelines

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"testing"

	"noisystudent/runners"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
)

// header is a NIfTI file of a grid without its voxels.
func header(shape [3]int, spacing [3]float64) []byte {
	b := make([]byte, 352)
	le := binary.LittleEndian
	le.PutUint32(b, 348)
	copy(b[344:], "n+1\x00")
	le.PutUint16(b[70:], 4) // int16
	le.PutUint16(b[72:], 16)
	for i, d := range []int{3, shape[2], shape[1], shape[0], 1, 1, 1, 1} {
		le.PutUint16(b[40+2*i:], uint16(d))
	}
	for i, d := range []float64{1, spacing[2], spacing[1], spacing[0], 1, 1, 1, 1} {
		le.PutUint32(b[76+4*i:], math.Float32bits(float32(d)))
	}
	le.PutUint32(b[108:], math.Float32bits(352))
	le.PutUint16(b[254:], 1) // sform
	for i, d := range []float64{spacing[2], spacing[1], spacing[0]} {
		le.PutUint32(b[280+16*i+4*i:], math.Float32bits(float32(d)))
	}
	return b
}

// TestMakeRoom holds Dataflow's workers to what the largest scan takes, and leaves
// other runners, and people who named their memory, alone.
func TestMakeRoom(t *testing.T) {
	folder := t.TempDir()
	put(t, filepath.Join(folder, "small.nii"), header([3]int{100, 512, 512}, [3]float64{2.5, 0.8, 0.8}))
	put(t, filepath.Join(folder, "large.nii"), header([3]int{1600, 512, 512}, [3]float64{1, 0.9, 0.9}))
	small, large := cases.Case{ID: "small", Image: filepath.Join(folder, "small.nii")}, cases.Case{ID: "large", Image: filepath.Join(folder, "large.nii")}
	broken := cases.Case{ID: "broken", Image: filepath.Join(folder, "absent.nii")}
	p := presetPlan(t, plan.LowFootprint)
	room := func(runner string, memory int64, list ...cases.Case) (budget, hint int64) {
		r := run{Options: Options{Runner: runners.Options{Runner: runner}, MemoryBytes: memory, Threads: 1}, plan: p, progress: silent{}}
		if err := r.makeRoom(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		return r.memory(), r.runnerFor("predict", true).Dataflow.Job.RAMBytes
	}
	least, _ := room("dataflow", 0)
	if one, hint := room("dataflow", 0, small, broken); one < least || hint < one/3*4 {
		t.Errorf("a small scan: %d MiB of %d, without any %d", one>>20, hint>>20, least>>20)
	}
	need, hint := room("dataflow", 0, small, large)
	if voxels := int64(1600 * 512 * 512); need < 8*voxels || hint < need/3*4 || hint > need*2 {
		t.Errorf("a large scan of %d voxels: %d MiB of %d", voxels, need>>20, hint>>20)
	}
	if got, hint := room("dataflow", 5<<30, large); got != 5<<30 || hint < 6<<30 || hint > 7<<30 {
		t.Errorf("--memory=5GiB became %d MiB of %d", got>>20, hint>>20)
	}
	if got, _ := room("flink", 0, large); got != workerBytes {
		t.Errorf("Flink's workers got %d MiB", got>>20)
	}
}
