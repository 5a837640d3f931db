package fit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

// onRef is the device whose arithmetic is the same on every machine of a kind.
var onRef = Options{Device: "ref", Threads: 1, Jobs: 1}

// prepare stores two labelled cases and two with pseudo-labels, and returns the
// store and a job of a role on them.
func prepare(t *testing.T, role Role) (*store.Store, Job) {
	t.Helper()
	st, p := fittest.Open(t), fittest.Plan()
	j := Job{Role: role, Store: st.Root(), Plan: p, Epochs: 3, Augment: "teacher", Rate: 0.01, Seed: p.Seed}
	for k, id := range []string{"a", "b"} {
		prefix, digest := fittest.Prepare(t, st, p, id, k, true)
		j.Labelled = append(j.Labelled, Ref{Case: id, Prepared: prefix, Digest: digest})
	}
	prefix, digest := fittest.Prepare(t, st, p, "c", 2, true)
	j.Validation = []Ref{{Case: "c", Prepared: prefix, Digest: digest}}
	if role != Student {
		return st, j.Sealed()
	}
	j.Augment = "student"
	for k, id := range []string{"u", "v"} {
		prefix, digest := fittest.Prepare(t, st, p, id, 10+k, false)
		labels := pseudoLabels(t, st, p, prefix, id, 10+k)
		j.Pseudo = append(j.Pseudo, Ref{Case: id, Prepared: prefix, Labels: labels, Digest: digest})
	}
	return st, j.Sealed()
}

func pseudoLabels(t *testing.T, st *store.Store, p plan.Plan, prefix, id string, k int) string {
	t.Helper()
	c, err := resample.OpenCase(t.Context(), st, prefix)
	if err != nil {
		t.Fatal(err)
	}
	_, labels := fittest.Scan(k, 1)
	shape := c.Shape()
	labels.Data = labels.Data[:shape[0]*shape[1]*shape[2]] // the scan's last planes are cropped
	key := "pseudo/1/" + id + ".zarr"
	if err := resample.WriteLabels(t.Context(), st, key, c.Properties(), labels.Data, p); err != nil {
		t.Fatal(err)
	}
	return key
}

// files returns the bytes of a job's newest checkpoint that a resume depends on.
func files(t *testing.T, st *store.Store, j Job) map[string][]byte {
	t.Helper()
	l, _, err := ReadLatest(t.Context(), st, j.Folder())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	epoch := epochFolder(j.Folder(), l.Epochs)
	keys := []string{weightsKey(epoch), optimiserKey(epoch)}
	if j.Plan.Training.WeightsEMA > 0 {
		keys = append(keys, trainedKey(epoch))
	}
	for _, key := range keys {
		if out[key], err = st.Read(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func same(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

// trained trains a job in a store of its own, undisturbed.
func trained(t *testing.T, role Role, o Options) map[string][]byte {
	t.Helper()
	st, j := prepare(t, role)
	if err := Run(t.Context(), j, o, nil); err != nil {
		t.Fatal(err)
	}
	return files(t, st, j)
}

// Values near the end of float32 overflow in the network. The steps are skipped,
// counted in the history and the checkpoint, and each is a warning in the log.
func TestSkippedStepsAreLoud(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(old)
	st, j := prepare(t, Teacher)
	overflow(t, st, j)
	if err := Run(t.Context(), j, onRef, nil); err != nil {
		t.Fatal(err)
	}
	history, err := History(t.Context(), st, j.Folder())
	if err != nil {
		t.Fatal(err)
	}
	var skipped int64
	for _, e := range history {
		skipped += e.Skipped
	}
	p, err := readPosition(t.Context(), st, j.Folder(), j.Epochs)
	if skipped == 0 || err != nil || p.Skipped != skipped || strings.Count(log.String(), "a step is skipped") != int(skipped) || !strings.Contains(log.String(), `job="teacher fold 0"`) {
		t.Errorf("%d skipped in the history, %d in the checkpoint, %v; log\n%s", skipped, p.Skipped, err, log.String())
	}
}

// overflow brings the voxels of the cases that a job trains on near the end of float32.
func overflow(t *testing.T, st *store.Store, j Job) {
	t.Helper()
	for k, ref := range j.Labelled {
		image, labels := fittest.Scan(k, 1)
		c, err := resample.Case(t.Context(), image, labels, nifti.NewFrame(image.Geometry), j.Plan)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Image {
			c.Image[i] *= 1e38
		}
		if err := resample.Write(t.Context(), st, ref.Prepared, c); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunLeavesAModel(t *testing.T) {
	for _, role := range []Role{Teacher, Student, Control} {
		st, j := prepare(t, role)
		var seen []Epoch
		if err := Run(t.Context(), j, onRef, func(e Epoch) { seen = append(seen, e) }); err != nil {
			t.Fatal(err)
		}
		history, err := History(t.Context(), st, j.Folder())
		if d := cmp.Diff(seen, history); err != nil || d != "" {
			t.Errorf("%s: error %v, history (-progress +store)\n%s", role, err, d)
		}
		for i, e := range history {
			if e.Epoch != int64(i) || !(e.Loss > -1 && e.Loss < 5) || e.Dice >= 0 || e.CE <= 0 || e.GradNorm <= 0 || e.Seconds <= 0 || e.Samples <= 0 || !(e.Waited > 0 && e.Waited <= 1) || e.Validated != 2 || !(e.DSC >= 0 && e.DSC <= 1) || e.At < 1e9 {
				t.Errorf("%s: record %d is %+v", role, i, e)
			}
		}
		if !(history[0].Rate == 0.01 && history[1].Rate < 0.01 && history[2].Rate < history[1].Rate) {
			t.Errorf("%s: rates %v, %v, %v", role, history[0].Rate, history[1].Rate, history[2].Rate)
		}
		key, done, err := WeightsKey(t.Context(), st, j.Folder())
		if want := "models/" + string(role) + "/fold_0/epoch_00003/weights.safetensors"; key != want || !done || err != nil {
			t.Errorf("weights at %q, done %v, error %v; want %q", key, done, err, want)
		}
		if n, err := Done(t.Context(), st, j); n != 3 || err != nil {
			t.Errorf("%d epochs are done, %v", n, err)
		}
		logged(t, st, j)
		before := files(t, st, j)
		if err := Run(t.Context(), j, onRef, func(Epoch) { t.Error("a job that is done was trained") }); err != nil || !same(before, files(t, st, j)) {
			t.Errorf("a second run: %v", err)
		}
	}
}

func TestRolesFoldsAndCasesCount(t *testing.T) {
	seen := map[string]string{}
	_, plain := prepare(t, Student)
	for name, change := range map[string]func(j *Job){
		"plain":            func(j *Job) {},
		"role":             func(j *Job) { j.Role = Control },
		"fold":             func(j *Job) { j.Fold = 1 },
		"seed":             func(j *Job) { j.Seed = 8 },
		"rate":             func(j *Job) { j.Rate = 0.02 },
		"augmentation":     func(j *Job) { j.Augment = "none" },
		"no pseudo-labels": func(j *Job) { j.Pseudo = nil },
		"fewer cases":      func(j *Job) { j.Labelled = j.Labelled[:1] },
		"ratio":            func(j *Job) { j.Plan.Training.LabelledPart = 0.75 },
		"mirroring":        func(j *Job) { j.Plan.Training.Mirror = "none" },
		"average":          func(j *Job) { j.Plan.Training.WeightsEMA = 0.5 },
		"optimiser":        func(j *Job) { j.Plan.Training.Optimizer = "adamw" },
	} {
		st, j := prepare(t, Student)
		change(&j)
		j.Epochs = 2
		j = j.Sealed()
		if name != "plain" && j.Inputs == plain.Inputs {
			t.Errorf("%s: the job has the same inputs", name)
		}
		if err := Run(t.Context(), j, onRef, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		weights := digest(files(t, st, j))
		if other, twice := seen[weights]; twice {
			t.Errorf("%s and %s give the same weights", name, other)
		}
		seen[weights] = name
	}
}

func digest(files map[string][]byte) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(files)) {
		h.Write(files[key])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// What the job says itself, or what is for other roles, is not in the plan's part
// of the inputs.
func TestInputsLeaveOtherRolesOut(t *testing.T) {
	_, j := prepare(t, Teacher)
	k := j
	k.Plan.Training.StudentEpochs, k.Plan.Training.FinetuneRate, k.Plan.Training.LabelledPart = 99, 1, 0.5
	k.Plan.Training.StudentAugment, k.Plan.Inference.StepSize = "none", 1
	if k.Sealed().Inputs != j.Inputs {
		t.Error("a plan that differs for other roles makes a teacher stale")
	}
	k = j
	k.Labelled = slices.Clone(j.Labelled)
	k.Labelled[0].Digest = "other"
	if k.Sealed().Inputs == j.Inputs {
		t.Error("another case does not make the teacher stale")
	}
}

// Finetuned starts from given weights with a fresh optimiser.
func TestFinetuneStartsFromWeights(t *testing.T) {
	st, student := prepare(t, Student)
	if err := Run(t.Context(), student, onRef, nil); err != nil {
		t.Fatal(err)
	}
	tune := student
	tune.Role, tune.Pseudo, tune.Epochs = Finetuned, nil, 1
	tune.Init, _, _ = WeightsKey(t.Context(), st, student.Folder())
	tune.InitDigest, tune.Rate = student.Inputs, 0 // a rate of 0 leaves the weights as they were
	tune = tune.Sealed()
	if err := Run(t.Context(), tune, onRef, nil); err != nil {
		t.Fatal(err)
	}
	from, err := ReadTensors(t.Context(), st, tune.Init)
	if err != nil {
		t.Fatal(err)
	}
	key, _, _ := WeightsKey(t.Context(), st, tune.Folder())
	to, err := ReadTensors(t.Context(), st, key)
	if d := cmp.Diff(from, to); err != nil || d != "" {
		t.Errorf("error %v, weights (-student +fine-tuned)\n%s", err, d)
	}
	tune.Init += "x"
	tune.Fold = 1
	if err := Run(t.Context(), tune.Sealed(), onRef, nil); err == nil || !strings.Contains(err.Error(), "finetuned fold 1") {
		t.Errorf("missing weights: %v", err)
	}
}

// The same bytes come out on the fast device too, whatever the threads.
func TestThreadsDoNotShow(t *testing.T) {
	want := trained(t, Student, Options{Device: "cpu", Threads: 1, Jobs: 1})
	if !same(want, trained(t, Student, Options{Device: "cpu", Threads: 2, Jobs: 1, Memory: 1 << 20})) {
		t.Error("two threads and a cache give other weights than one thread")
	}
}

// golden is the digest of what version trains. When it changes, raise version:
// models in people's stores would otherwise be continued by other arithmetic.
const golden = "1 f2d4daf70fb7d6b6bfdca7230458be6e"

func TestGolden(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors round exp and fused products otherwise")
	}
	if got := fmt.Sprint(version, " ", digest(trained(t, Student, onRef))[:32]); got != golden {
		t.Errorf("trained weights are %q, want %q: raise version, then set golden", got, golden)
	}
}

func TestStaleModelsAreRefused(t *testing.T) {
	st, j := prepare(t, Teacher)
	if err := Run(t.Context(), j, onRef, nil); err != nil {
		t.Fatal(err)
	}
	other := j
	other.Seed++
	other = other.Sealed()
	var stale *StaleError
	if err := Run(t.Context(), other, onRef, nil); !errors.As(err, &stale) {
		t.Errorf("other inputs: %v", err)
	}
	if _, err := Done(t.Context(), st, other); !errors.As(err, &stale) {
		t.Errorf("other inputs: %v", err)
	}
	if err := Discard(t.Context(), st, j); err != nil {
		t.Fatal(err)
	}
	if n, err := Done(t.Context(), st, j); n != 3 || err != nil {
		t.Fatalf("a model of the job's own inputs was discarded: %d epochs, %v", n, err)
	}
	if err := Discard(t.Context(), st, other); err != nil {
		t.Fatal(err)
	}
	if left, err := st.List(t.Context(), "models/"); len(left) != 0 || err != nil {
		t.Errorf("discarding left %v, %v", left, err)
	}
	if err := Run(t.Context(), other, onRef, nil); err != nil {
		t.Errorf("training anew: %v", err)
	}
}

func TestDamagedCheckpointsSayWhatToDo(t *testing.T) {
	for name, damage := range map[string]func(st *store.Store, epoch string) error{
		"latest is no JSON": func(st *store.Store, _ string) error {
			return st.Write(t.Context(), "models/teacher/fold_0/latest", []byte("{"))
		},
		"latest of the future": func(st *store.Store, _ string) error {
			return st.Write(t.Context(), "models/teacher/fold_0/latest", []byte(`{"format":2,"epochs":1}`))
		},
		"state is gone": func(st *store.Store, e string) error { return st.Remove(t.Context(), positionKey(e)) },
		"state of another": func(st *store.Store, e string) error {
			return st.Write(t.Context(), positionKey(e), []byte(`{"format":1,"epochs":2}`))
		},
		"weights are gone":  func(st *store.Store, e string) error { return st.Remove(t.Context(), weightsKey(e)) },
		"weights are cut":   func(st *store.Store, e string) error { return st.Write(t.Context(), weightsKey(e), []byte("short")) },
		"optimiser is gone": func(st *store.Store, e string) error { return st.Remove(t.Context(), optimiserKey(e)) },
	} {
		st, j := prepare(t, Teacher)
		stop := errors.New("stop")
		err := run(t.Context(), failing(st, "create", "epoch_00002", stop), j, onRef, nil)
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		if err := damage(st, epochFolder(j.Folder(), 1)); err != nil {
			t.Fatal(err)
		}
		if err := Run(t.Context(), j, onRef, nil); err == nil || !strings.HasPrefix(err.Error(), "fit: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing lets the operations on keys that hold a text fail.
func failing(st *store.Store, op, text string, err error) *store.Store {
	return store.WithFault(st, func(o, key string) error {
		if o == op && strings.Contains(key, text) {
			return err
		}
		return nil
	})
}

// state.json is for people, too.
func TestStateSaysWhatWasTrained(t *testing.T) {
	st, j := prepare(t, Teacher)
	if err := Run(t.Context(), j, onRef, nil); err != nil {
		t.Fatal(err)
	}
	data, err := st.Read(t.Context(), positionKey(epochFolder(j.Folder(), 3)))
	var p position
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if d := cmp.Diff(j, p.Job); err != nil || d != "" || p.Steps != 9 || p.Skipped != 0 {
		t.Errorf("error %v, %d steps, job\n%s", err, p.Steps, d)
	}
}

// The loss scale of half precision is in the checkpoint, from which another device goes
// on; on this one, which computes in float32, a power of two changes no weight.
func TestLossScaleIsInTheCheckpoint(t *testing.T) {
	train := func(precision string, devices ...string) (map[string][]byte, position) {
		st, j := prepare(t, Teacher)
		j.Plan.Training.Precision = precision
		j = j.Sealed()
		for k, device := range devices {
			ctx, stop := context.WithCancel(t.Context())
			err := run(ctx, st, j, Options{Device: device, Threads: 1, Jobs: 1}, func(Epoch) {
				if k+1 < len(devices) {
					stop()
				}
			})
			if stopped := k+1 < len(devices); stopped != errors.Is(err, context.Canceled) {
				t.Fatalf("%s on %s: %v", precision, device, err)
			}
			stop()
		}
		p, err := readPosition(t.Context(), st, j.Folder(), 3)
		if err != nil {
			t.Fatal(err)
		}
		return files(t, st, j), p
	}
	want, plain := train(plan.Exact, "ref")
	got, scaled := train(plan.FP16, "ref", "ref", "ref")
	if !same(want, got) {
		t.Error("a run in three parts with a loss scale has other weights")
	}
	if plain.Scale != (engine.LossScale{}) || scaled.Scale != (engine.LossScale{Value: 1 << 16, Good: 9}) {
		t.Errorf("loss scales %+v and %+v", plain.Scale, scaled.Scale)
	}
	if text, err := json.Marshal(plain); err != nil || strings.Contains(string(text), "loss_scale") {
		t.Errorf("a state without a scale names one: %s, %v", text, err)
	}
	if _, moved := train(plan.FP16, "ref", "cpu", "ref"); moved.Scale != scaled.Scale || moved.Steps != 9 {
		t.Errorf("moved between devices: %+v after %d steps", moved.Scale, moved.Steps)
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	st, j := prepare(t, Teacher)
	ctx, cancel := context.WithCancel(t.Context())
	err := run(ctx, st, j, onRef, func(e Epoch) {
		if e.Epoch == 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped run: %v", err)
	}
	if n, err := Done(t.Context(), st, j); n != 1 || err != nil {
		t.Errorf("%d epochs are durable, %v", n, err)
	}
}
