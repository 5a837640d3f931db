package fit

import (
	"errors"
	"math"
	"strings"
	"testing"

	"noisystudent/io/store"
	"noisystudent/model/engine"
)

// prepared is a student whose weights are averaged, with its store.
func prepared(t *testing.T, kept float64) (*store.Store, Job) {
	t.Helper()
	st, j := prepare(t, Student)
	j.Plan.Training.WeightsEMA = kept
	return st, j.Sealed()
}

// averaged is a prepared student that is trained.
func averaged(t *testing.T, kept float64, o Options) (*store.Store, Job) {
	t.Helper()
	st, j := prepared(t, kept)
	if err := Run(t.Context(), j, o, nil); err != nil {
		t.Fatal(err)
	}
	return st, j
}

// TestFollow holds the moving average to its definition.
func TestFollow(t *testing.T) {
	values := []float64{4, -2, 1, 0.5}
	for _, kept := range []float64{0.5, 0.8, 0.99} {
		c := checkpoint{}
		for n, v := range values {
			c.state.Weights = map[string]engine.Tensor{"w": {Shape: []int{1}, Data: []float32{float32(v)}}}
			c.follow(kept)
			c.history = append(c.history, Epoch{})
			sum, all := 0.0, 0.0
			for k := range n + 1 {
				sum, all = sum+math.Pow(kept, float64(n-k))*values[k], all+math.Pow(kept, float64(n-k))
			}
			if got := float64(c.predicting()["w"].Data[0]); math.Abs(got-sum/all) > 1e-6 {
				t.Errorf("%g of %d epochs kept: %g, want %g", kept, n+1, got, sum/all)
			}
		}
		if c.state.Weights["w"].Data[0] != 0.5 {
			t.Error("the weights in training are the average")
		}
	}
}

// TestAverageChangesWhatPredicts: training goes on with the weights that it would have without an average, whose
// definition they and the checkpoints before them show.
func TestAverageChangesWhatPredicts(t *testing.T) {
	st, plain := averaged(t, 0, onRef)
	averagedStore, j := averaged(t, 0.5, onRef)
	read := func(key string) map[string]engine.Tensor {
		t.Helper()
		from := averagedStore
		if strings.HasPrefix(key, "plain ") {
			from = st
		}
		w, err := ReadTensors(t.Context(), from, strings.TrimPrefix(key, "plain "))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	last, before := epochFolder(j.Folder(), 3), epochFolder(j.Folder(), 2)
	trained, want := read(trainedKey(last)), read("plain "+weightsKey(last))
	average, earlier, differ := read(weightsKey(last)), read(weightsKey(before)), false
	for name, w := range want {
		for i, v := range w.Data {
			if trained[name].Data[i] != v {
				t.Fatalf("%s is trained to %g, without an average to %g", name, trained[name].Data[i], v)
			}
			e := float64(earlier[name].Data[i])
			if a := float64(average[name].Data[i]); math.Abs(a-(e+4./7*(float64(v)-e))) > 1e-6 {
				t.Fatalf("%s: average %g of %g and %g before", name, a, v, e)
			}
			differ = differ || average[name].Data[i] != v
		}
	}
	if !differ {
		t.Error("the average is the last weights")
	}
	if key, _, _ := WeightsKey(t.Context(), averagedStore, j.Folder()); key != weightsKey(last) || plain.Inputs == j.Inputs {
		t.Errorf("%s predicts; inputs %s and %s", key, plain.Inputs, j.Inputs)
	}
	if infos, err := st.List(t.Context(), "models/"); err != nil {
		t.Fatal(err)
	} else {
		for _, i := range infos {
			if strings.Contains(i.Key, "trained") {
				t.Errorf("%s, though nothing is averaged", i.Key)
			}
		}
	}
	h, err := History(t.Context(), averagedStore, j.Folder())
	other, err2 := History(t.Context(), st, plain.Folder())
	if errors.Join(err, err2) != nil || h[0].DSC != other[0].DSC || h[2].Loss != other[2].Loss || h[2].DSC == other[2].DSC {
		t.Errorf("validated is not what predicts (%v, %v): %v, %v", err, err2, h, other)
	}
}

// TestAverageResumes: a run that dies between two epochs or while it writes gives the bytes of an undisturbed one,
// average, weights in training and optimiser, with any number of threads.
func TestAverageResumes(t *testing.T) {
	for _, o := range []Options{onRef, {Device: "cpu", Threads: 1, Jobs: 1}} {
		st, j := averaged(t, 0.8, o)
		want := files(t, st, j)
		dead := errors.New("the machine died")
		for epoch := 1; epoch <= 3; epoch++ {
			for _, key := range []string{"trained", "state"} {
				st, j := prepared(t, 0.8)
				broken := dying(st, "create", epochFolder(j.Folder(), int64(epoch))+"/"+key, 1, dead)
				if err := run(t.Context(), broken, j, o, nil); !errors.Is(err, dead) {
					t.Fatalf("epoch %d, %s: %v", epoch, key, err)
				}
				again := o
				again.Threads = 3
				if err := Run(t.Context(), j, again, nil); err != nil {
					t.Fatal(err)
				}
				if !same(want, files(t, st, j)) {
					t.Errorf("%s: died at %s of epoch %d: other weights than undisturbed", o.Device, key, epoch)
				}
			}
		}
	}
}
