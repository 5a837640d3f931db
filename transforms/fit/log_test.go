package fit

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store"
	"noisystudent/io/tfevents"
)

// logged fails the test unless both logs of a job tell each epoch of its history once.
func logged(t *testing.T, st *store.Store, j Job) {
	t.Helper()
	history, err := History(t.Context(), st, j.Folder())
	if err != nil {
		t.Fatal(err)
	}
	text, err := st.Read(t.Context(), linesKey(j.Folder()))
	if err != nil {
		t.Fatal(err)
	}
	var told []Epoch
	for from := json.NewDecoder(bytes.NewReader(text)); ; {
		var e Epoch
		if err := from.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		told = append(told, e)
	}
	if d := cmp.Diff(history, told); d != "" || bytes.Count(text, []byte("\n")) != len(history) {
		t.Errorf("%s: lines (-history +lines)\n%s", j.Name(), d)
	}
	file, err := st.Read(t.Context(), eventsKey(j.Folder()))
	if err != nil {
		t.Fatal(err)
	}
	list, err := tfevents.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	curves := map[string][]tfevents.Scalar{}
	for _, s := range list {
		curves[s.Tag] = append(curves[s.Tag], s)
	}
	for tag, value := range map[string]func(Epoch) float64{
		"loss/total": func(e Epoch) float64 { return e.Loss },
		"loss/dice":  func(e Epoch) float64 { return e.Dice },
		"loss/ce":    func(e Epoch) float64 { return e.CE },
		"dsc/pseudo": func(e Epoch) float64 { return e.DSC },
		"dsc/ema":    func(e Epoch) float64 { return e.EMA },

		"training/learning_rate":      func(e Epoch) float64 { return e.Rate },
		"training/samples_per_second": func(e Epoch) float64 { return e.Samples },
	} {
		var want []tfevents.Scalar
		for _, e := range history {
			want = append(want, tfevents.Scalar{Tag: tag, Step: e.Epoch, Time: e.At, Value: float32(value(e))})
		}
		if d := cmp.Diff(want, curves[tag]); d != "" {
			t.Errorf("%s: %s (-history +events)\n%s", j.Name(), tag, d)
		}
	}
}

// nnU-Net: mean_fg_dice is the mean over classes of 2 tp / (2 tp + fp + fn), nan left out,
// and ema_fg_dice 0.9 of the old and 0.1 of the new.
func TestPseudoDSC(t *testing.T) {
	h := hits{both: []int64{90, 4, 0, 0}, said: []int64{95, 6, 3, 0}, true: []int64{92, 10, 0, 0}}
	if dsc, ok := h.pseudoDSC(); !ok || math.Abs(dsc-(8.0/16+0)/2) > 1e-15 {
		t.Errorf("%v, %v", dsc, ok)
	}
	if _, ok := (hits{make([]int64, 3), []int64{5, 0, 0}, []int64{5, 0, 0}}).pseudoDSC(); ok {
		t.Error("a DSC of no organ")
	}
}

// The moving average is of the history, the best checkpoint is where it is highest, and
// training is the same with and without.
func TestBestIsKept(t *testing.T) {
	st, j := prepare(t, Teacher)
	j.Epochs, j.Plan.Training.Optimizer, j.Rate = 12, "adamw", 0.02
	j = j.Sealed()
	if err := Run(t.Context(), j, onRef, nil); err != nil {
		t.Fatal(err)
	}
	history, err := History(t.Context(), st, j.Folder())
	if err != nil {
		t.Fatal(err)
	}
	ema, best := history[0].DSC, int64(1)
	highest := ema
	for _, e := range history[1:] {
		ema = 0.9*ema + 0.1*e.DSC
		if math.Abs(e.EMA-ema) > 1e-12 {
			t.Errorf("epoch %d: EMA %v, want %v", e.Epoch, e.EMA, ema)
		}
		if ema > highest {
			highest, best = ema, e.Epoch+1
		}
	}
	if last, got := Best(history); got != best || best == 1 || last != history[11].EMA {
		t.Errorf("best after %d epochs, want %d; at the end %v", got, best, last)
	}
	if _, err := ReadTensors(t.Context(), st, weightsKey(epochFolder(j.Folder(), best))); err != nil {
		t.Error(err)
	}
	alone, k := prepare(t, Teacher)
	k.Epochs, k.Plan.Training.Optimizer, k.Rate, k.Validation = 12, "adamw", 0.02, nil
	k = k.Sealed()
	if err := Run(t.Context(), k, onRef, nil); err != nil {
		t.Fatal(err)
	}
	if k.Inputs != j.Inputs || !same(files(t, st, j), files(t, alone, k)) {
		t.Error("validation changes the weights")
	}
	history, err = History(t.Context(), alone, k.Folder())
	if _, best := Best(history); err != nil || best != 0 || history[11].Validated != 0 {
		t.Errorf("a job without validation: %v, best %d", err, best)
	}
}

// A best epoch that is long ago outlives the checkpoints after it.
func TestPruneSparesTheBest(t *testing.T) {
	st, j := prepare(t, Teacher)
	for n := int64(1); n <= 5; n++ {
		if err := st.Write(t.Context(), weightsKey(epochFolder(j.Folder(), n)), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(t.Context(), st, j.Folder(), 5, 2); err != nil {
		t.Fatal(err)
	}
	infos, err := st.List(t.Context(), j.Folder()+"/")
	var got []string
	for _, i := range infos {
		got = append(got, i.Key)
	}
	want := []string{weightsKey(epochFolder(j.Folder(), 2)), weightsKey(epochFolder(j.Folder(), 4)), weightsKey(epochFolder(j.Folder(), 5))}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}
