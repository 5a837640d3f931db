package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"noisystudent/pipelines/command"
)

// asMain makes this test binary the program itself.
const asMain = "NOISYSTUDENT_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program is the program in a process of its own.
func program(args ...string) (*exec.Cmd, *output) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// output collects what a process prints while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// loopArgs is a loop that takes seconds: enough to interrupt it.
func loopArgs(dataset, store string) []string {
	args := []string{"loop", "--dataset", dataset, "--store", store, "--preset", "demo"}
	for _, s := range []string{
		"spacing=10,15,15", "patch_size=8,16,16", "architecture.features_per_stage=4,6,8", "inference.step_size=1",
		"training.folds=2", "training.steps_per_epoch=20", "training.teacher_epochs=6", "training.student_epochs=2", "training.finetune_epochs=1",
	} {
		args = append(args, "--set", s)
	}
	return args
}

func run(t testing.TB, want int, args ...string) string {
	t.Helper()
	cmd, out := program(args...)
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Fatalf("%v exits with %d, want %d:\n%s", args, got, want, out)
	}
	return out.String()
}

// TestInterrupt stops the program at three moments: what it has made is whole, and
// the command that it names goes on from there to the same bytes.
func TestInterrupt(t *testing.T) {
	if testing.Short() {
		t.Skip("a whole loop, twice: not with -short")
	}
	if runtime.GOOS == "windows" {
		t.Skip("needs signals")
	}
	folder := t.TempDir()
	cohort, whole, broken := filepath.Join(folder, "the cohort"), filepath.Join(folder, "whole"), filepath.Join(folder, "broken")
	run(t, command.Done, "phantom", "--out", cohort, "--labelled", "2", "--unlabelled", "2", "--test", "1", "--shape", "9,16,22", "--spacing", "10,15,15")
	run(t, command.Done, loopArgs(cohort, whole)...)
	for _, stop := range []struct {
		signal os.Signal
		at     string // once this file is there
	}{
		{os.Interrupt, "ledger/fingerprint/*.json"},
		{syscall.SIGTERM, "ledger/preprocess/*.json"},
		{os.Interrupt, "models/teacher/fold_*/latest"},
	} {
		cmd, out := program(loopArgs(cohort, broken)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, filepath.Join(broken, stop.at), out)
		if err := cmd.Process.Signal(stop.signal); err != nil {
			t.Fatal(err)
		}
		sent := time.Now()
		_ = cmd.Wait()
		if code, took := cmd.ProcessState.ExitCode(), time.Since(sent); code != command.Interrupted || took > 5*time.Second {
			t.Errorf("%v at %s: exit code %d after %v:\n%s", stop.signal, stop.at, code, took, out)
		}
		if want := "loop --dataset '" + cohort + "' --store " + broken; !strings.Contains(out.String(), want) || strings.Contains(out.String(), "panic") {
			t.Errorf("%v at %s: the output does not hold %q:\n%s", stop.signal, stop.at, want, out)
		}
		checkWhole(t, broken)
	}
	if left := weights(t, broken); left["teacher/fold_0"] == nil && left["teacher/fold_1"] == nil || left["finetuned/fold_0"] != nil {
		t.Errorf("interrupted in training, it has %d models", len(left))
	}
	out := run(t, command.Done, loopArgs(cohort, broken)...)
	if !strings.Contains(out, "preprocess: 4 of 4 cases were done before; nothing to do") {
		t.Errorf("the last run does not say what it found:\n%s", out)
	}
	want, got := weights(t, whole), weights(t, broken)
	for model, data := range want {
		if !bytes.Equal(got[model], data) {
			t.Errorf("%s differs from that of a run without interrupts", model)
		}
	}
	if len(want) == 0 || len(got) != len(want) {
		t.Errorf("%d models, want %d", len(got), len(want))
	}
}

// TestNothingIsLeft ends the program in every way there is: the folder for temporary
// files is as empty as before.
func TestNothingIsLeft(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs signals")
	}
	folder, scratch := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", scratch)
	cohort, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	run(t, command.Done, "phantom", "--out", cohort, "--labelled", "2", "--unlabelled", "1", "--test", "1", "--shape", "9,16,22", "--spacing", "10,15,15")
	run(t, command.Failed, "predict", "--store", st, "--input", cohort, "--output", filepath.Join(folder, "labels"))
	for _, end := range []struct {
		signal os.Signal
		at     string // once this file is there
		code   int
	}{
		{os.Interrupt, "fingerprint/*.json", command.Interrupted}, // while a pipeline is young, see package prism
		{os.Interrupt, "models/teacher/fold_*/latest", command.Interrupted},
		{os.Kill, "models/student/fold_*/latest", -1},
	} {
		cmd, out := program(loopArgs(cohort, st)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, filepath.Join(st, end.at), out)
		if err := cmd.Process.Signal(end.signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		left, err := os.ReadDir(scratch)
		if code := cmd.ProcessState.ExitCode(); code != end.code || len(left) > 0 || err != nil {
			t.Errorf("%v at %s: exit code %d, %v is left, %v", end.signal, end.at, code, left, err)
		}
	}
}

// waitFor waits for a file.
func waitFor(t *testing.T, pattern string, out *output) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(5 * time.Millisecond) { // the first job of a Flink cluster loads its classes
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no %s:\n%s", pattern, out)
		}
	}
}

// checkWhole looks for a latest that names a checkpoint which is not there. Temporary
// files of a killed writer begin with a dot; no reader opens them.
func checkWhole(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil && info.Size() == 0 && !strings.HasPrefix(d.Name(), ".") {
			t.Errorf("%s is empty", path)
		}
		if d.Name() == "latest" {
			if found, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "epoch_*", "state.json")); len(found) == 0 {
				t.Errorf("%s names nothing", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// weights reads the newest weights of every model of a store, by role and fold.
func weights(t *testing.T, root string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "models", "*", "fold_*", "epoch_*", "weights.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	models := map[string][]byte{}
	for _, f := range files { // ascending: the newest comes last
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		models[filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(f))))+"/"+filepath.Base(filepath.Dir(filepath.Dir(f)))] = data
	}
	return models
}
