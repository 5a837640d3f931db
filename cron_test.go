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

	"noisystudent/pipelines/command"
)

// TestCron starts the line that `schedule cron` writes as cron does, twice at the same
// time: the work is done once.
func TestCron(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs sh")
	}
	folder := t.TempDir()
	c := newClinic(t, folder)
	for k := range 3 {
		c.put(fmt.Sprintf("case%d", k), k)
	}
	binary := filepath.Join(folder, "noisystudent")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+asMain+"=1 exec '"+os.Args[0]+"' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(folder)
	cmd, _ := program("schedule", "cron", "--every", "15m", "--binary", binary, "--", "reprocess", "--store", "the store", "--input", filepath.Join(c.input, "*.nii.gz"), "--settle", "1s", "--json")
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
