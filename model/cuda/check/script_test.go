package check

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fakeBinary stands in for the test binary: it does by section what its name of a test asks for.
const fakeBinary = `#!/bin/sh
case "$2" in
*TestCompile*) echo "--- PASS: TestCompile"; echo compiled;;
*TestConformance*) echo "the kernel has crashed"; kill -SEGV $$;;
*TestTraining*) echo "=== RUN TestTraining"; echo "    check_test.go:9: needs a reason"; echo "--- SKIP: TestTraining"; echo PASS;;
*TestKernels*) exec sleep 100;;
*TestTimings*) echo "--- PASS: TestTimings"; printf '| head |\n| row | 1 | gpucheck, today, a card |\n' >"$GPUCHECK_OUT/rows.md";;
esac
`

// script puts gpucheck into a tree of its own and returns a function that runs it.
func script(t *testing.T) (root string, run func(env string, args ...string) (string, int)) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	text, err := os.ReadFile("../gpucheck")
	if err != nil {
		t.Skip("the script is not beside this binary: ", err)
	}
	root = t.TempDir()
	for _, folder := range []string{"model/cuda/check", "model/engine"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, folder), 0o755))
	}
	for name, text := range map[string]string{"gpucheck": string(text), "gpucheck.test": fakeBinary, "gpucheck-engine.test": fakeBinary} {
		err = errors.Join(err, os.WriteFile(filepath.Join(root, "model/cuda", name), []byte(text), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	return root, func(env string, args ...string) (string, int) {
		c := exec.Command(bash, append([]string{filepath.Join(root, "model/cuda/gpucheck")}, args...)...)
		c.Env = append(os.Environ(), env)
		out, err := c.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), c.ProcessState.ExitCode()
	}
}

// A section that crashes, hangs or is skipped is reported as that, and those after it run.
func TestScript(t *testing.T) {
	root, run := script(t)
	out := filepath.Join(root, "out")
	printed, code := run("GPUCHECK_LIMIT=2", "--emulator", "--out", out)
	report, err := os.ReadFile(filepath.Join(out, "report.txt"))
	if err != nil || code != 1 {
		t.Fatalf("exit code %d, %v:\n%s", code, err, printed)
	}
	for _, want := range []string{
		`machine +passed`, `conformance +FAILED \(139\)`, `training +skipped in \d+ s: needs a reason`, `kernels +FAILED \(it ran out of its time\)`, `timings +passed`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).Match(report) {
			t.Errorf("the report has no %q:\n%s", want, report)
		}
	}
	if log, err := os.ReadFile(filepath.Join(out, "log.txt")); err != nil || !strings.Contains(string(log), "the kernel has crashed") {
		t.Errorf("the log lacks what a section has printed: %v\n%s", err, log)
	}
	if printed, code := run("", "--emulator", "--nothing"); code != 2 || !strings.Contains(printed, "--build") {
		t.Errorf("an unknown flag gives %d, %s", code, printed)
	}
	if err := os.Remove(filepath.Join(root, "model/cuda/gpucheck.test")); err != nil {
		t.Fatal(err)
	}
	if printed, code := run("", "--emulator", "--out", out); code != 1 || !strings.Contains(printed, "gpucheck --build") {
		t.Errorf("without a binary: %d, %s", code, printed)
	}
}

// Rows of a card replace those between the markers of BENCHMARKS.md; the emulator's are refused.
func TestScriptWritesRows(t *testing.T) {
	root, run := script(t)
	page, rows := filepath.Join(root, "BENCHMARKS.md"), filepath.Join(root, "rows.md")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const begin, end = "<!-- written by model/cuda/gpucheck -->\n", "<!-- end of what model/cuda/gpucheck writes -->\n"
	write(page, "before\n"+begin+"old\n"+end+"after\n")
	for _, c := range []struct {
		rows, want string
		code       int
	}{
		{"| a | gpucheck, 2026-11-25, EMULATOR: NOT A MEASUREMENT |\n", "old\n", 1},
		{"| a | gpucheck, 2026-11-25, a card |\n", "| a | gpucheck, 2026-11-25, a card |\n", 0},
		{"| b | gpucheck, 2026-11-25, a card |\n", "| b | gpucheck, 2026-11-25, a card |\n", 0},
	} {
		write(rows, c.rows)
		printed, code := run("", "--rows", root)
		if text, err := os.ReadFile(page); err != nil || code != c.code || string(text) != "before\n"+begin+c.want+end+"after\n" {
			t.Errorf("exit code %d, %v, %s:\n%s", code, err, printed, text)
		}
	}
}
