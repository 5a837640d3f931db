//go:build unix

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"noisystudent/pipelines/command"
)

// copied is a copy of a folder for a test to damage.
func copied(t *testing.T, folder string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(folder))
	if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return to
}

// edited changes a file.
func edited(t *testing.T, file string, change func(string) string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(change(string(data))), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlanOfNonsense edits a plan as nobody should: it is refused by file, field and
// remedy before memory is taken.
func TestPlanOfNonsense(t *testing.T) {
	m := newMany(t, 1)
	replace := func(old, new string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, old) {
				t.Fatalf("the plan does not hold %s:\n%s", old, text)
			}
			return strings.Replace(text, old, new, 1)
		}
	}
	for _, c := range []struct {
		name string
		edit func(string) string
		want string
	}{
		{"negative patch", replace(`"patch_size": [8,`, `"patch_size": [-8,`), "patch_size -8: want 1 to 4096"},
		{"patch of 1e9", replace(`"patch_size": [8,`, `"patch_size": [1000000000,`), "patch_size 1e+09: want 1 to 4096"},
		{"patch beyond the memory", replace(`"patch_size": [8, 16, 16]`, `"patch_size": [1024, 512, 512]`), "MiB may be used"},
		{"odd patch", replace(`"patch_size": [8,`, `"patch_size": [7,`), "patch_size [7 16 16]: the strides need multiples of"},
		{"features that fall", replace(`[4, 6, 8]`, `[4, 8, 6]`), "architecture.features_per_stage [4 8 6]"},
		{"features of 1e9", replace(`[4, 6, 8]`, `[4, 6, 1000000000]`), "architecture: unet: check spec: stage 2 has 1000000000 features"},
		{"a stage too few", replace(`[4, 6, 8]`, `[4, 6]`), "architecture: unet: check spec"},
		{"unknown field", replace(`"batch_size"`, `"batchsize"`), `field "batch_size" is missing`},
		{"spacing of 0", replace(`"spacing": [15,`, `"spacing": [0,`), "spacing 0: want 0.01 to 100"},
		{"NaN", replace(`"spacing": [15,`, `"spacing": [NaN,`), "invalid character 'N'"},
		{"text for a number", replace(`"batch_size": `, `"batch_size": "two", "x": `), `unknown field "x"`},
		{"a newer program's", replace(`"format": `, `"format": 9`), "this program reads up to"},
		{"cut short", func(text string) string { return text[:len(text)/2] }, "unexpected EOF"},
		{"empty", func(string) string { return "" }, "it is empty"},
	} {
		st := copied(t, m.store)
		edited(t, filepath.Join(st, "plan.json"), c.edit)
		for _, args := range [][]string{
			{"predict", "--store", st, "--input", filepath.Join(m.cohort, "imagesUn"), "--output", m.labels},
			{"train", "--store", st, "--dataset", m.cohort, "--retrain"},
		} {
			cmd, out := program(append(args, "--memory", "1GiB")...)
			_ = cmd.Run()
			p := cmd.ProcessState
			if text := out.String(); p.ExitCode() != command.Failed || !strings.Contains(text, c.want) || !strings.Contains(text, "plan") {
				t.Errorf("%s: %s exits with %d, want %q:\n%s", c.name, args[0], p.ExitCode(), c.want, text)
			}
			if rss := p.SysUsage().(*syscall.Rusage).Maxrss >> 10; rss > 200 {
				t.Errorf("%s: %s took %d MiB", c.name, args[0], rss)
			}
		}
	}
}

// TestDamagedStore damages what is in a store: the message names the file and what to
// do, or the next run repairs it.
func TestDamagedStore(t *testing.T) {
	m := newMany(t, 3)
	m.predict(command.Done)
	want := files(t, m.labels)
	const latest, epoch = "models/teacher/fold_1/latest", "models/teacher/fold_1/epoch_00001"
	weights := func(st string) string { return filepath.Join(st, epoch, "weights.safetensors") }
	for _, c := range []struct {
		name   string
		damage func(st string)
		code   int
		want   []string // in the output
	}{
		{"weights cut short", func(st string) {
			edited(t, weights(st), func(s string) string { return s[:len(s)-100] })
		}, command.Failed, []string{"weights.safetensors", "put the file back, or remove", latest}},
		{"weights overwritten", func(st string) {
			edited(t, weights(st), func(s string) string { return strings.Repeat("x", len(s)) })
		}, command.Failed, []string{"weights.safetensors", "put the file back, or remove", latest}},
		{"weights of another plan", func(st string) {
			edited(t, filepath.Join(st, "plan.json"), func(s string) string { return strings.Replace(s, "[4, 6, 8]", "[4, 6, 10]", 1) })
		}, command.Failed, []string{"weights.safetensors does not fit the plan's network", "put back the plan or the weights"}},
		{"weights gone", func(st string) { os.Remove(weights(st)) }, command.Failed, []string{"weights.safetensors", "put the file back, or remove", latest}},
		{"latest names a missing epoch", func(st string) {
			os.Rename(filepath.Join(st, epoch), filepath.Join(st, filepath.Dir(epoch), "epoch_00009"))
		}, command.Failed, []string{epoch, "put the file back, or remove", latest}},
		{"latest torn", func(st string) {
			edited(t, filepath.Join(st, latest), func(s string) string { return s[:len(s)/2] })
		}, command.Failed, []string{latest, "remove it to train anew"}},
		{"rows cut short", func(st string) {
			rows, _ := filepath.Glob(filepath.Join(st, "ledger", "*", "*.json"))
			for _, row := range rows {
				edited(t, row, func(s string) string { return s[:len(s)/2] })
			}
		}, command.Done, []string{"3 of 3 cases"}},
		{"rows gone", func(st string) { os.RemoveAll(filepath.Join(st, "ledger")) }, command.Done, []string{"3 of 3 cases"}},
		{"predictions gone", func(st string) { os.RemoveAll(filepath.Join(st, "predictions")) }, command.Done, []string{"3 of 3 cases"}},
	} {
		st, out := copied(t, m.store), filepath.Join(t.TempDir(), "labels")
		if c.code == command.Failed { // nothing may be done already
			os.RemoveAll(filepath.Join(st, "ledger"))
		}
		c.damage(st)
		text := run(t, c.code, "predict", "--store", st, "--input", filepath.Join(m.cohort, "imagesUn"), "--output", out)
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: the output does not hold %q:\n%s", c.name, w, text)
			}
		}
		if c.code == command.Done && !maps.Equal(files(t, out), want) {
			t.Errorf("%s: the labels differ", c.name)
		}
		if c.code == command.Failed && strings.Contains(c.want[len(c.want)-1], "latest") {
			trainAnew(t, m, st, latest)
		}
	}
}

// trainAnew does what the message says.
func trainAnew(t *testing.T, m many, st, latest string) {
	t.Helper()
	if err := os.Remove(filepath.Join(st, latest)); err != nil {
		t.Fatal(err)
	}
	run(t, command.Done, "train", "--store", st, "--dataset", m.cohort)
	a := weights(t, m.store)
	if b := weights(t, st); string(a["teacher/fold_1"]) != string(b["teacher/fold_1"]) {
		t.Error("trained anew the model is another one")
	}
}

// TestCasesGoneFromFolds takes a labelled case out of the dataset, not out of splits.json.
func TestCasesGoneFromFolds(t *testing.T) {
	m := newMany(t, 1)
	for _, file := range []string{"imagesTr/labelled_0001_0000.nii.gz", "labelsTr/labelled_0001.nii.gz"} {
		if err := os.Remove(filepath.Join(m.cohort, file)); err != nil {
			t.Fatal(err)
		}
	}
	const note = "in a fold, but not among the labelled cases: labelled_0001; put them back, or take them out with --replan"
	if text := run(t, command.Done, "preprocess", "--dataset", m.cohort, "--store", m.store); !strings.Contains(text, note) {
		t.Errorf("preprocess does not tell:\n%s", text)
	}
	text := run(t, command.Failed, "train", "--dataset", m.cohort, "--store", m.store)
	if !strings.Contains(text, note) || !strings.Contains(text, "splits.json") {
		t.Errorf("train does not tell:\n%s", text)
	}
}

// TestClockSkew lets files be of tomorrow, as where the clock was put back: nothing is
// done twice, and a scan that changes is done again.
func TestClockSkew(t *testing.T) {
	m := newMany(t, 3)
	m.predict(command.Done)
	tomorrow := time.Now().Add(24 * time.Hour)
	for _, root := range []string{m.cohort, m.store, m.labels} {
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chtimes(path, tomorrow, tomorrow)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if o, _ := m.predict(command.Done); o.Cases != 3 || o.New != 0 {
			t.Errorf("with files of tomorrow %d of %d cases are new", o.New, o.Cases)
		}
	}
	scan := func(n int) string {
		return filepath.Join(m.cohort, "imagesUn", fmt.Sprintf("unlabelled_%04d_0000.nii.gz", n))
	}
	data, err := os.ReadFile(scan(0))
	if err == nil {
		err = os.WriteFile(scan(1), data, 0o666) // the clock's today
	}
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := m.predict(command.Done); o.Cases != 3 || o.New != 1 {
		t.Errorf("after a change %d of %d cases are new", o.New, o.Cases)
	}
	if got := files(t, m.labels); got["unlabelled_0000.nii.gz"] != got["unlabelled_0001.nii.gz"] {
		t.Error("the changed scan has its old labels")
	}
}

// files reads a folder.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[e.Name()] = string(data)
	}
	return found
}
