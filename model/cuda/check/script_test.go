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
*TestConformance*fp16*) echo "=== RUN   TestConformance/fp16/a"; [ -z "$FAKE_HANGS" ] || exec sleep 100; [ -z "$FAKE_ERROR" ] || { echo "$FAKE_ERROR"; exit 1; }; echo "    --- PASS: TestConformance/fp16/a";;
*TestConformance*) echo "the kernel has crashed"; kill -SEGV $$;;
*TestTraining*) echo "=== RUN TestTraining"; echo "    check_test.go:9: needs a reason"; echo "--- SKIP: TestTraining"; echo PASS;;
*TestKernels*) [ -n "$FAKE_KERNELS" ] || exec sleep 100;;
*TestTimings*) echo "--- PASS: TestTimings"; printf '| head |\n| row | 1 | gpucheck, today, a card |\n' >"$GPUCHECK_OUT/rows.md";;
esac
`

// script puts gpucheck into a tree of its own and returns a function that runs it.
func script(t *testing.T) (root string, run func(env []string, args ...string) (string, int)) {
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
	return root, func(env []string, args ...string) (string, int) {
		c := exec.Command(bash, append([]string{filepath.Join(root, "model/cuda/gpucheck")}, args...)...)
		c.Env = append(append(os.Environ(), "GPUCHECK_PYTHON=true"), env...)
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
	printed, code := run([]string{"GPUCHECK_LIMIT=8"}, "--emulator", "--out", out)
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
	if printed, code := run(nil, "--emulator", "--nothing"); code != 2 || !strings.Contains(printed, "--build") {
		t.Errorf("an unknown flag gives %d, %s", code, printed)
	}
	if err := os.Remove(filepath.Join(root, "model/cuda/gpucheck.test")); err != nil {
		t.Fatal(err)
	}
	if printed, code := run(nil, "--emulator", "--out", out); code != 1 || !strings.Contains(printed, "gpucheck --build") {
		t.Errorf("without a binary: %d, %s", code, printed)
	}
}

// fakeSanitizer says FAKE_SAYS, runs its target and ends with FAKE_CODE or the target's code.
const fakeSanitizer = `#!/bin/sh
echo "========= COMPUTE-SANITIZER"
echo "options: $*"
[ -z "$FAKE_SAYS" ] || echo "========= $FAKE_SAYS"
while [ "${1%gpucheck.test}" = "$1" ]; do shift; done
"$@" || code=$?
exit ${FAKE_CODE:-$code}
`

// TestScriptJudgesTheSanitizer has what it finds in kernels be failures, and what the machine refuses it a skip with the
// reason.
func TestScriptJudgesTheSanitizer(t *testing.T) {
	root, run := script(t)
	folder, out := filepath.Join(root, "bin"), filepath.Join(root, "out")
	if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(filepath.Join(folder, "compute-sanitizer"), []byte(fakeSanitizer), 0o755)); err != nil {
		t.Fatal(err)
	}
	path := "PATH=" + folder + ":" + os.Getenv("PATH")
	const unsupported = `Error: Device not supported. Please refer to the "Supported Devices" section of the sanitizer documentation`
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"clean":           {nil, `passed`},
		"a wrong write":   {[]string{"FAKE_SAYS=    by thread (3,0,0) in block (1,0,0)", "FAKE_CODE=9"}, `FAILED \(9\)`},
		"a race":          {[]string{"FAKE_SAYS=Error: Race reported between Write access at conv+0x70", "FAKE_CODE=9"}, `FAILED \(9\)`},
		"a finding first": {[]string{"FAKE_SAYS=Invalid read by thread (3,0,0); Internal Sanitizer Error", "FAKE_CODE=1"}, `FAILED \(9\)`},
		"a wrong result":  {[]string{"FAKE_ERROR=the largest difference is 3"}, `FAILED \(1\)`},
		"refused":         {[]string{"FAKE_SAYS=" + unsupported, "FAKE_CODE=9"}, `skipped in \d+ s: compute-sanitizer is refused .*Device not supported`},
		"refused quietly": {[]string{"FAKE_SAYS=" + unsupported}, `skipped in \d+ s: compute-sanitizer is refused .*Device not supported`},
		"error 999":       {[]string{"FAKE_ERROR=cuda: cuMemAlloc: CUDA_ERROR_UNKNOWN (999): look at dmesg"}, `skipped in \d+ s: compute-sanitizer is refused .*cuMemAlloc`},
		"a crash":         {[]string{"FAKE_CODE=255"}, `skipped in \d+ s: .*ended with 255`},
		"too slow":        {[]string{"FAKE_HANGS=1", "GPUCHECK_LIMIT=8"}, `skipped in \d+ s: no finding in the 1 cases`},
	} {
		t.Run(name, func(t *testing.T) {
			printed, _ := run(append(c.env, path, "FAKE_KERNELS=fast"), "--out", out)
			report, err := os.ReadFile(filepath.Join(out, "report.txt"))
			if err != nil {
				t.Fatal(err, printed)
			}
			for _, tool := range []string{"memcheck", "racecheck"} {
				if !regexp.MustCompile(`(?m)^` + tool + ` +` + c.want).Match(report) {
					t.Errorf("%s: the report has no %q:\n%s", tool, c.want, report)
				}
			}
			log, err := os.ReadFile(filepath.Join(out, "log.txt"))
			if err != nil || !strings.Contains(string(log), "options: --tool memcheck --error-exitcode 9 --report-api-errors no ") || !strings.Contains(string(log), "options: --tool racecheck --error-exitcode 9 /") {
				t.Errorf("the sanitizer was asked otherwise: %v\n%s", err, log)
			}
		})
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
		printed, code := run(nil, "--rows", root)
		if text, err := os.ReadFile(page); err != nil || code != c.code || string(text) != "before\n"+begin+c.want+end+"after\n" {
			t.Errorf("exit code %d, %v, %s:\n%s", code, err, printed, text)
		}
	}
}
