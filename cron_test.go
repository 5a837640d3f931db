package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"noisystudent/io/store"
	"noisystudent/pipelines/command"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/plan"
)

// ward makes a store with a model and a folder of scans.
func ward(t *testing.T, folder string, scans int) (root, input string) {
	t.Helper()
	root, input = filepath.Join(folder, "the store"), filepath.Join(folder, "in")
	st, err := store.Open(t.Context(), root)
	if err == nil {
		err = plan.Save(t.Context(), st, fittest.Plan())
	}
	if err != nil {
		t.Fatal(err)
	}
	model := fit.Folder(fit.Finetuned, 0)
	fittest.Weights(t, st, fittest.Plan(), model+"/epoch_00001/weights.safetensors", 1)
	latest, err := json.Marshal(fit.Latest{Format: 1, Epochs: 1, Inputs: "test", Done: true})
	if err == nil {
		err = st.Write(t.Context(), model+"/latest", latest)
	}
	if err != nil {
		t.Fatal(err)
	}
	for k := range scans {
		fittest.File(t, input, fmt.Sprintf("case%d", k), k, 1)
	}
	return root, input
}

// TestCron starts the line that `schedule cron` writes as cron does, twice at the same
// time: the work is done once.
func TestCron(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs sh")
	}
	folder := t.TempDir()
	_, input := ward(t, folder, 3)
	binary := filepath.Join(folder, "noisystudent")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+asMain+"=1 exec '"+os.Args[0]+"' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(folder)
	cmd, _ := program("schedule", "cron", "--every", "15m", "--binary", binary, "--", "reprocess", "--store", "the store", "--input", filepath.Join(input, "*.nii.gz"), "--settle", "1s", "--json")
	cmd.Stdout = nil
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	line := strings.SplitN(lines[len(lines)-1], " ", 6)[5]
	start := func() (cmd *exec.Cmd, out *output) {
		cmd = exec.Command("/bin/sh", "-c", line)
		cmd.Env, cmd.Dir, out = []string{"PATH=/usr/bin:/bin"}, "/", &output{}
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, out
	}
	round := func() (fresh, busy int) {
		first, a := start()
		second, b := start()
		for cmd, out := range map[*exec.Cmd]*output{first: a, second: b} {
			if err := cmd.Wait(); err != nil || cmd.ProcessState.ExitCode() != command.Done {
				t.Fatalf("%v: %s", err, out)
			}
			var result struct {
				New  int
				Busy *struct{}
			}
			if err := json.Unmarshal([]byte(out.String()), &result); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			fresh += result.New
			if result.Busy != nil {
				busy++
			}
		}
		return fresh, busy
	}
	if fresh, busy := round(); fresh != 3 || busy > 1 {
		t.Errorf("%d scans were labelled by two runs, of which %d gave way; want 3 once", fresh, busy)
	}
	if fresh, _ := round(); fresh != 0 {
		t.Errorf("%d scans were labelled again", fresh)
	}
}
