package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
	"noisystudent/pipelines/command"
	"noisystudent/transforms/fit"
)

// faultsSeed draws the moments of kills; NOISYSTUDENT_FAULTS=SEED draws others.
const faultsSeed = 1

// kills is how often a run is killed before it may end.
const kills = 20

// training is of tiny networks: a step takes some 5 ms.
type training struct {
	cohort, store string
	epochs, steps int64
	folds         int
}

func (t training) args(more ...string) []string {
	args := []string{"train", "--dataset", t.cohort, "--store", t.store, "--preset", "demo", "--threads", "2"}
	for _, s := range []string{
		"spacing=10,15,15", "patch_size=8,16,16", "architecture.features_per_stage=4,6,8", "training.folds=2",
		fmt.Sprintf("training.steps_per_epoch=%d", t.steps), fmt.Sprintf("training.teacher_epochs=%d", t.epochs),
	} {
		args = append(args, "--set", s)
	}
	return append(args, more...)
}

// newTraining makes a cohort and trains two folds on it, undisturbed.
func newTraining(t *testing.T, epochs, steps int64) training {
	t.Helper()
	if testing.Short() {
		t.Skip("trains in processes of its own: not with -short")
	}
	if runtime.GOOS == "windows" {
		t.Skip("needs signals")
	}
	folder := t.TempDir()
	tr := training{filepath.Join(folder, "cohort"), filepath.Join(folder, "whole"), epochs, steps, 2}
	run(t, command.Done, "phantom", "--out", tr.cohort, "--labelled", "2", "--unlabelled", "1", "--test", "1", "--shape", "9,16,22", "--spacing", "10,15,15")
	run(t, command.Done, tr.args()...)
	return tr
}

// in returns the training in another store, which is empty.
func (t training) in(root string) training {
	t.store = root
	return t
}

// models are the jobs' states as they are in the store: everything that latest vouches for.
func (tr training) models(t *testing.T) map[string][]byte {
	t.Helper()
	st := openStore(t, tr.store)
	out := map[string][]byte{}
	for fold := range tr.folds {
		folder := fit.Folder(fit.Teacher, fold)
		latest, _, err := fit.ReadLatest(t.Context(), st, folder)
		if err != nil {
			t.Fatal(err)
		}
		if latest.Epochs != tr.epochs || !latest.Done {
			t.Errorf("%s: %d of %d epochs, done %v", folder, latest.Epochs, tr.epochs, latest.Done)
		}
		for _, name := range []string{"weights", "optimiser"} {
			key := fmt.Sprintf("%s/epoch_%05d/%s.safetensors", folder, latest.Epochs, name)
			if out[key], err = st.Read(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func openStore(t *testing.T, root string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func differ(t *testing.T, want, got map[string][]byte) {
	t.Helper()
	for key, data := range want {
		if !bytes.Equal(got[key], data) {
			t.Errorf("%s differs from that of an undisturbed run", key)
		}
	}
	if len(want) == 0 || len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}

// durable checks that what the store calls a checkpoint is one, whatever else lies about,
// and returns how many epochs each fold has.
func (tr training) durable(t *testing.T) []int64 {
	t.Helper()
	st := openStore(t, tr.store)
	out := make([]int64, tr.folds)
	for fold := range out {
		folder := fit.Folder(fit.Teacher, fold)
		history, err := fit.History(t.Context(), st, folder)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range history {
			if e.Epoch != int64(i) {
				t.Fatalf("%s: record %d of the history is epoch %d", folder, i, e.Epoch)
			}
		}
		out[fold] = int64(len(history))
	}
	infos, err := st.List(t.Context(), "models/")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos { // also of checkpoints that latest does not name: a file is whole or is not there
		switch {
		case strings.HasSuffix(i.Key, ".safetensors"):
			if _, err := fit.ReadTensors(t.Context(), st, i.Key); err != nil {
				t.Error(err)
			}
		case i.Size == 0:
			t.Errorf("%s is empty", i.Key)
		}
	}
	return out
}

// moments of a life at which it is killed.
const (
	starting   = "while it starts"
	inEpoch    = "in mid-epoch"
	checkpoint = "around a checkpoint"
)

// await waits for one of these moments, drawn at random, and tells how long the first
// new epoch took to come, 0 if it was not waited for.
func (tr training) await(t *testing.T, moment string, draw *rand.Rand, out *output, ended <-chan struct{}) (epoch time.Duration) {
	t.Helper()
	start := time.Now()
	within := func(d time.Duration) time.Duration { return time.Duration(draw.Float64() * float64(d)) }
	if moment == starting {
		time.Sleep(within(400 * time.Millisecond))
		return 0
	}
	before := newest(tr.store)
	for deadline := time.Now().Add(time.Minute); newest(tr.store) == before; time.Sleep(200 * time.Microsecond) {
		select {
		case <-ended:
			t.Fatalf("it ended before it could be killed:\n%s", out)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("no new epoch within a minute:\n%s", out)
		}
	}
	epoch = time.Since(start)
	if moment == checkpoint { // its first file is being written: all of it takes some milliseconds
		time.Sleep(within(15 * time.Millisecond))
	} else {
		time.Sleep(within(100 * time.Millisecond))
	}
	return epoch
}

// newest names the newest checkpoint of any fold, from the moment on at which its
// first file is begun.
func newest(root string) string {
	found, _ := filepath.Glob(filepath.Join(root, "models", "teacher", "fold_*", "epoch_*"))
	for i, f := range found {
		found[i] = filepath.Base(f) + f // by epoch
	}
	if len(found) == 0 {
		return ""
	}
	return slices.Max(found)
}

// halves adds the checkpoints that were begun and that no latest names yet.
func (tr training) halves(done []int64, begun map[string]bool) {
	for fold, epochs := range done {
		key := fmt.Sprintf("%s/epoch_%05d", fit.Folder(fit.Teacher, fold), epochs+1)
		if _, err := os.Stat(filepath.Join(tr.store, key)); err == nil {
			begun[key] = true
		}
	}
}

// TestKilledTraining kills a training at random moments and repeats the command each
// time, until it may end: the bytes are those of an undisturbed run.
func TestKilledTraining(t *testing.T) {
	seed := faultsSeed
	if text := os.Getenv("NOISYSTUDENT_FAULTS"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatalf("NOISYSTUDENT_FAULTS=%s is no seed: %v", text, err)
		}
	}
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(uint64(seed), 0))
	tr := newTraining(t, 40, 6)
	want := tr.models(t)
	tr = tr.in(filepath.Join(t.TempDir(), "killed"))
	tried, halves := map[string]int{}, map[string]bool{}
	var recoveries []time.Duration
	done := make([]int64, tr.folds)
	for life := range kills {
		moment := []string{starting, inEpoch, checkpoint, checkpoint}[draw.IntN(4)]
		if life == 0 {
			moment = checkpoint // of the first epoch
		}
		cmd, out := program(tr.args()...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		if epoch := tr.await(t, moment, draw, out, ended); epoch > 0 {
			recoveries = append(recoveries, epoch)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-ended
		tried[moment]++
		now := tr.durable(t)
		for fold := range now {
			if now[fold] < done[fold] {
				t.Errorf("killed %s, fold %d went from %d epochs back to %d", moment, fold, done[fold], now[fold])
			}
		}
		done = now
		tr.halves(now, halves)
	}
	out := run(t, command.Done, tr.args()...)
	differ(t, want, tr.models(t))
	tr.durable(t)
	slices.Sort(recoveries)
	t.Logf("killed %v; %d checkpoints were begun and not ended; epochs durable at the last kill %v; from the command to its first epoch %v to %v, median %v\n%s",
		tried, len(halves), done, recoveries[0].Round(time.Millisecond), recoveries[len(recoveries)-1].Round(time.Millisecond), recoveries[len(recoveries)/2].Round(time.Millisecond), out)
}

// TestStoppedWorker stops one worker in mid-epoch, lets another one finish its job, and
// lets the first go on: the zombie is refused and changes nothing.
func TestStoppedWorker(t *testing.T) {
	tr := newTraining(t, 3, 300)
	tr.folds = 1
	want := tr.models(t)
	storetest.Bucket(t, "zombies") // the programs find it by STORAGE_EMULATOR_HOST
	for name, root := range map[string]string{"folder": t.TempDir(), "bucket": "gs://zombies"} {
		t.Run(name, func(t *testing.T) {
			for try := 0; !tr.in(fmt.Sprintf("%s/%d", root, try)).refusesZombie(t, want); try++ {
				if try == 3 {
					t.Fatal("it was never stopped in mid-epoch")
				}
			}
		})
	}
}

// refusesZombie is false where the worker was stopped between two epochs: it sees
// that its job is done and ends well.
func (tr training) refusesZombie(t *testing.T, want map[string][]byte) bool {
	t.Helper()
	st, args := openStore(t, tr.store), tr.args("--fold", "0")
	old, out := program(args...)
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	defer old.Process.Kill() // if the test ends early
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if l, _, err := fit.ReadLatest(t.Context(), st, fit.Folder(fit.Teacher, 0)); err == nil && l.Epochs > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no epoch within a minute:\n%s", out)
		}
	}
	time.Sleep(100 * time.Millisecond) // into the next epoch
	if err := old.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	run(t, command.Done, args...)
	before := tr.objects(t)
	differ(t, want, tr.models(t))
	if err := old.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	_ = old.Wait()
	if after := tr.objects(t); after != before {
		t.Errorf("the zombie wrote; before\n%s\nafter\n%s", before, after)
	}
	differ(t, want, tr.models(t))
	switch code := old.ProcessState.ExitCode(); {
	case code == command.Done:
		return false
	case code != command.Failed || !strings.Contains(out.String(), "another worker moved its checkpoint on; this one stops"):
		t.Errorf("the zombie ends with %d:\n%s", code, out)
	}
	return true
}

// objects lists the models with their generations.
func (tr training) objects(t *testing.T) string {
	t.Helper()
	infos, err := openStore(t, tr.store).List(t.Context(), "models/")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, i := range infos {
		fmt.Fprintln(&b, i.Key, i.Size, i.Generation)
	}
	return b.String()
}
