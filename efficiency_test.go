package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noisystudent/pipelines/command"
)

// TestEfficiency measures tiny networks of random weights in processes of this program.
func TestEfficiency(t *testing.T) {
	folder := t.TempDir()
	cohort, store, out := filepath.Join(folder, "cohort"), filepath.Join(folder, "store"), filepath.Join(folder, "out")
	run(t, command.Done, "phantom", "--out", cohort, "--labelled", "2", "--unlabelled", "0", "--test", "2", "--shape", "9,16,22", "--spacing", "10,15,15")
	plan := loopArgs(cohort, store)
	run(t, command.Done, append([]string{"plan"}, plan[1:]...)...)
	args := []string{"efficiency", "--store", store, "--input", filepath.Join(cohort, "imagesTs", "test_0000_0000.nii.gz"), "--output", out, "--device", "cpu"}
	text := run(t, command.Done, args...)
	for _, want := range []string{"nnunet mirrored x,y,z", "(535.4)", "(13.78)", "32..128", "random weights: times and memory only", "4 measurements, 4 of them now"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	table, err := os.ReadFile(filepath.Join(out, "efficiency.csv"))
	if lines := strings.Count(string(table), "\n"); err != nil || lines != 5 {
		t.Errorf("%v, %d lines:\n%s", err, lines, table)
	}
	for _, file := range []string{"efficiency.json", "plots/test_0000.png", "measured/nnunet-mirrored-xyz/test_0000.json"} {
		if _, err := os.Stat(filepath.Join(out, file)); err != nil {
			t.Error(err)
		}
	}
	if text := run(t, command.Done, args...); !strings.Contains(text, "4 measurements; nothing to do") {
		t.Errorf("measured twice:\n%s", text)
	}
	student := append(args, "--systems", "student")
	if text := run(t, command.Done, append(student, "--again")...); !strings.Contains(text, "1 measurements, 1 of them now") {
		t.Errorf("not measured again:\n%s", text)
	}
	bad := filepath.Join(cohort, "imagesTs", "test_0001_0000.nii.gz")
	if err := os.WriteFile(bad, []byte("no scan"), 0o644); err != nil {
		t.Fatal(err)
	}
	student[4] = filepath.Join(cohort, "imagesTs")
	if text := run(t, command.Rejected, student...); !strings.Contains(text, "1 rejected") || !strings.Contains(text, "test_0001") {
		t.Errorf("a scan that predict refuses:\n%s", text)
	}
}
