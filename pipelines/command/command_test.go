package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// buffer may be written to by Beam's goroutines, too.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// command runs a command line in this process.
func command(t *testing.T, args ...string) (code int, out, log string) {
	t.Helper()
	var o, l buffer
	code = Main(t.Context(), args, &o, &l)
	return code, o.String(), l.String()
}

func TestUsage(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no cluster of this user's
	t.Setenv("HOME", t.TempDir())
	for _, c := range []struct {
		args string
		want string // in what is printed, beside the hint
		hint string
	}{
		{"nothing", `unknown command "nothing"`, "noisystudent --help"},
		{"--nothing", "unknown flag: --nothing", "noisystudent --help"},
		{"plan --nothing", "unknown flag: --nothing", "noisystudent plan --help"},
		{"plan extra --dataset d --store s", `"extra" belongs to no flag`, "noisystudent plan --help"},
		{"predict --store s --input a.nii b.nii --output o", "a glob needs quotes", "noisystudent predict --help"},
		{"plan --dataset d --store s --set batchsize=4", `no field "batchsize"`, "noisystudent plan --help"},
		{"help nothing", `no help about "nothing"`, "noisystudent help --help"},
		{"plan --store s", `"dataset" not set`, "noisystudent plan --help"},
		{"preprocess --dataset d", `"store" not set`, "noisystudent preprocess --help"},
		{"train", `"dataset", "store" not set`, "noisystudent train --help"},
		{"pseudolabel", `"dataset", "store" not set`, "noisystudent pseudolabel --help"},
		{"loop", `"dataset", "store" not set`, "noisystudent loop --help"},
		{"predict --store s --output o", `"input" not set`, "noisystudent predict --help"},
		{"predict --store s --input i", `"output" not set`, "noisystudent predict --help"},
		{"reprocess --store s", `"input" not set`, "noisystudent reprocess --help"},
		{"reprocess --input i", `"store" not set`, "noisystudent reprocess --help"},
		{"reprocess --store s --input i --settle ten", "invalid argument", "noisystudent reprocess --help"},
		{"reprocess --store s --input i --watch --interval 1ms", "--interval of 1s or more", "noisystudent reprocess --help"},
		{"reprocess --store s --input i --only-missing --since-model latest", "exclude each other", "noisystudent reprocess --help"},
		{"evaluate --predictions p", "give --predictions and --references", "noisystudent evaluate --help"},
		{"evaluate --predictions p --references r --cross-validation teacher", "exclude each other", "noisystudent evaluate --help"},
		{"evaluate --predictions p --references r --calibrate", "--calibrate takes models", "noisystudent evaluate --help"},
		{"evaluate --cross-validation boss --dataset d --store s", "use teacher or student", "noisystudent evaluate --help"},
		{"efficiency --input i", `"output" not set`, "noisystudent efficiency --help"},
		{"efficiency --input i --output o --systems big", "use [nnunet low-footprint student]", "noisystudent efficiency --help"},
		{"view", `"input" not set`, "noisystudent view --help"},
		{"view --input i --port 65536", "give 1 to 65535", "noisystudent view --help"},
		{"phantom", `"out" not set`, "noisystudent phantom --help"},
		{"phantom --out o --shape 1,2", "three values", "noisystudent phantom --help"},
		{"phantom --out o --shape 1,2,3", "at least 4 voxels", "noisystudent phantom --help"},
		{"phantom --out o --labelled -1", "-1 labelled", "noisystudent phantom --help"},
		{"phantom --out o --from ct.nii.gz", "write CT,LABELS", "noisystudent phantom --help"},
		{"phantom --out o --preset flare", "flare-mini-hard", "noisystudent phantom --help"},
		{"phantom --out o --preset flare-mini --test 3", "leave out --test", "noisystudent phantom --help"},
		{"experiment nothing", `unknown command "nothing"`, "noisystudent experiment --help"},
		{"experiment paper-tables --out o", "either --budget, such as 30m, or --steps", "noisystudent experiment paper-tables --help"},
		{"experiment paper-tables --out o --steps 10 --rows best", "control-loop", "noisystudent experiment paper-tables --help"},
		{"experiment anchors --steps 10", `"out" not set`, "noisystudent experiment anchors --help"},
		{"train --dataset d --store s --role boss", "use teacher, student, finetuned or control", "noisystudent train --help"},
		{"train --dataset d --store s --fold one", "invalid argument", "noisystudent train --help"},
		{"plan --dataset d --store s --preset nope", "use demo, laptop, low-footprint, nnunet, student", "noisystudent plan --help"},
		{"plan --dataset d --store s --set patch_size", "want field=value", "noisystudent plan --help"},
		{"plan --dataset d --store s --set patchsize=8", "there is no field", "noisystudent plan --help"},
		{"plan --dataset d --store s --runner spark", "use prism, flink or dataflow", "noisystudent plan --help"},
		{"plan --dataset d --store s --runner flink", "--endpoint=HOST:PORT", "noisystudent plan --help"},
		{"flink nothing", `unknown command "nothing"`, "noisystudent flink --help"},
		{"flink up now", `"now" belongs to no flag`, "noisystudent flink up --help"},
		{"plan --dataset d --store s --runner dataflow --project p --region r --staging gs://b/x", "copy it to a bucket", "noisystudent plan --help"},
		{"train --dataset d --store s --device null", "use auto, cpu, cuda, cuda:N, ref", "noisystudent train --help"},
		{"train --dataset d --store s --device gpu", "use auto, cpu, cuda, cuda:N, ref", "noisystudent train --help"},
		{"train --dataset d --store s --cpu mmx", `no kernels "mmx": this build has `, "noisystudent train --help"},
		{"train --dataset d --store s --precision half", "use mixed, fp32, bf16, fp16, exact, auto", "noisystudent train --help"},
		{"train --dataset d --store s --precision fp32 --exact", "exclude each other", "noisystudent train --help"},
		{"train --dataset d --store s --threads -1", "give 1 or more", "noisystudent train --help"},
		{"train --dataset d --store s --memory lots", "write for example 6GiB", "noisystudent train --help"},
		{"train --dataset d --store s --seed x", "invalid argument", "noisystudent train --help"},
		{"predict --store s --input i --output o --model best", "such as teacher/0", "noisystudent predict --help"},
		{"predict --store s --input i --output o --model teacher", "such as teacher/0", "noisystudent predict --help"},
		{"plan --dataset d --store s --log-format xml", "use text or json", "noisystudent plan --help"},
		{"plan --dataset d --store s --log-format json --verbose", "exclude each other", "noisystudent plan --help"},
		{"plan --dataset d --store s --metrics-addr nowhere", "give HOST:PORT", "noisystudent plan --help"},
		{"status", `"store" not set`, "noisystudent status --help"},
		{"schedule", "write schedule systemd", "noisystudent schedule --help"},
		{"schedule cron reprocess", "write schedule systemd", "noisystudent schedule --help"},
		{"schedule anacron -- reprocess", `no kind "anacron"`, "noisystudent schedule --help"},
		{"schedule cron -- launch", `"launch" is no command`, "noisystudent schedule --help"},
		{"schedule cron --every 7m -- reprocess", "cannot say every 7m", "noisystudent schedule --help"},
		{"schedule systemd --every 7s -- reprocess", "one minute or more", "noisystudent schedule --help"},
		{"schedule kubernetes -- reprocess", "needs --image", "noisystudent schedule --help"},
		{"evaluate --predictions p --references r --rules mine", "want flare22", "noisystudent evaluate --help"},
	} {
		code, out, log := command(t, strings.Fields(c.args)...)
		if code != Usage || out != "" || !strings.Contains(log, c.want) || !strings.Contains(log, "Run '"+c.hint+"' for usage.") {
			t.Errorf("%s: exit code %d, %q, %q", c.args, code, out, log)
		}
	}
	if left, _ := filepath.Glob("[dsop]"); left != nil {
		t.Errorf("wrong usage has made %v", left)
	}
}

// What the system refuses ends with what to do about it, and nothing is told twice.
func TestRemedy(t *testing.T) {
	for text, want := range map[string]string{
		"store: write /s/plan.json: no space left on device":      "; make room, or name another place",
		"store: list \"imagesUn/\" in /d: permission denied":      "; give this user the right to it, or name another place",
		"/d/a.nii: unreadable: permission denied; check the file": "",
		"store: stat /s/plan.json: connection refused":            "",
	} {
		if got := remedy(errors.New(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// Every command has an example, and its help names every flag that it needs.
func TestHelp(t *testing.T) {
	var walk func(cmd *cobra.Command, path ...string)
	walk = func(cmd *cobra.Command, path ...string) {
		code, out, log := command(t, append(path, "--help")...)
		if code != Done || log != "" {
			t.Errorf("%v --help: exit code %d, %s", path, code, log)
		}
		if cmd.Name() != "beam" && (!strings.Contains(out, "Examples:\n  noisystudent ") || cmd.Short == "") {
			t.Errorf("%v --help has no example:\n%s", path, out)
		}
		if _, again, _ := command(t, append([]string{"help"}, path...)...); again != out {
			t.Errorf("help %v and %v --help differ", path, path)
		}
		for _, sub := range cmd.Commands() {
			if !sub.Hidden {
				walk(sub, append(path, sub.Name())...)
			}
		}
	}
	walk(newRoot(&session{out: &buffer{}, log: &buffer{}}))
	_, out, _ := command(t, "help", "beam")
	for _, flag := range []string{"-worker", "-environment_type", "-control_endpoint"} {
		if !strings.Contains(out, flag) {
			t.Errorf("help beam does not name %s", flag)
		}
	}
	for name, flags := range map[string]string{
		"phantom": "out labelled unlabelled test from runner seed json threads",
		"train":   "role fold dataset store runner device cpu precision exact threads seed json memory set unlabelled-scans",
		"predict": "input output store runner device threads json memory", "evaluate": "predictions references store json",
		"schedule":  "every name binary image project region service-account out",
		"status":    "store json",
		"reprocess": "input store output since-model only-missing settle lock-wait watch watch-for interval model json",
		"view":      "input labels references dataset-json port",
		"demo":      "out quick runner device threads seed json", "doctor": "store",
	} {
		_, out, _ := command(t, name, "--help")
		for _, flag := range strings.Fields(flags) {
			if !regexp.MustCompile(`(?m)^ +--` + flag + `\b`).MatchString(out) {
				t.Errorf("%s --help does not name --%s", name, flag)
			}
		}
	}
}

// Pipelines take the same flags, also those that change nothing for one of them.
func TestCommonFlags(t *testing.T) {
	root := newRoot(&session{out: &buffer{}, log: &buffer{}})
	for _, name := range []string{"phantom", "plan", "preprocess", "train", "pseudolabel", "predict", "reprocess", "evaluate", "loop", "demo"} {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range []string{"store", "runner", "device", "libcuda", "nvrtc", "cpu", "precision", "exact", "threads", "memory", "seed", "json", "log-format", "metrics-addr", "verbose"} {
			if cmd.Flags().Lookup(flag) == nil {
				t.Errorf("%s does not take --%s", name, flag)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	code, out, _ := command(t, "--version")
	if code != Done || !regexp.MustCompile(`^noisystudent \d+\.\d+\.\d+.*\ngo1\..*\nCPU path: \w+, bf16: (yes|no)\nGPU: .+\nfile formats: plan 2, .*Zarr v3.*NIfTI`).MatchString(out) {
		t.Errorf("%d, %s", code, out)
	}
}

func TestDoctor(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	code, out, _ := command(t, "doctor", "--store", store)
	for _, about := range []string{"cpu", "memory", "store", "gpu", "flink"} {
		if !regexp.MustCompile(`(?m)^` + about + ` +\S`).MatchString(out) {
			t.Errorf("nothing about %s:\n%s", about, out)
		}
	}
	if code != Done || !strings.Contains(out, store+" can be written") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if _, err := os.Stat(store); err == nil {
		t.Error("the store was made")
	}
	if err := os.WriteFile(store, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	code, out, log := command(t, "doctor", "--store", store)
	if code != Failed || !strings.Contains(out, "cannot be written") || !strings.Contains(out, "-> choose another --store") || !strings.Contains(log, "store") {
		t.Errorf("exit code %d:\n%s\n%s", code, out, log)
	}
}

// TestDoctorProcessor demands that a slow or impossible choice of kernels is told.
func TestDoctorProcessor(t *testing.T) {
	for _, c := range []struct {
		kernels string
		code    int
		want    string
	}{
		{"", Done, "cpu "},
		{"generic", Done, "-> unset NOISYSTUDENT_CPU"},
		{"sse", Failed, "the best that runs here is"},
	} {
		t.Setenv("NOISYSTUDENT_CPU", c.kernels)
		if code, out, _ := command(t, "doctor"); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("NOISYSTUDENT_CPU=%s: exit code %d, want %d and %q:\n%s", c.kernels, code, c.code, c.want, out)
		}
	}
}

// TestRejected follows a cohort with a corrupt file through commands: exit code 3,
// the file named, the same once more, and JSON that says it all.
func TestRejected(t *testing.T) {
	folder := t.TempDir()
	cohort, store := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	phantom := []string{"phantom", "--out", cohort, "--labelled", "2", "--unlabelled", "2", "--test", "1", "--corrupt", "1", "--shape", "9,16,22", "--spacing", "10,15,15", "--json"}
	for _, fresh := range []bool{true, false} {
		code, out, log := command(t, phantom...)
		var made struct {
			Cases int
			New   bool
		}
		if err := json.Unmarshal([]byte(out), &made); code != Done || err != nil || made.Cases != 5 || made.New != fresh {
			t.Fatalf("exit code %d, %v, %s%s", code, err, out, log)
		}
	}
	code, _, log := command(t, append(phantom, "--test", "2")...)
	if code != Failed || !strings.Contains(log, "holds another cohort; choose another --out") {
		t.Errorf("another cohort: exit code %d, %s", code, log)
	}
	moved := filepath.Join(folder, "moved")
	if err := os.Rename(cohort, moved); err != nil {
		t.Fatal(err)
	}
	code, out, log := command(t, append(phantom, "--out", moved)...)
	if code != Done || !strings.Contains(out, `"new": false`) {
		t.Errorf("a cohort that was moved: exit code %d, %s%s", code, out, log)
	}
	cohort = moved
	none := filepath.Join(folder, "none")
	code, _, log = command(t, "phantom", "--out", none, "--from", filepath.Join(folder, "ct.nii")+","+filepath.Join(folder, "labels.nii"))
	if _, err := os.Stat(none); code != Failed || !strings.Contains(log, "ct.nii") || !strings.Contains(log, "check --from") || err == nil {
		t.Errorf("from nothing: exit code %d, %v, %s", code, err, log)
	}
	preprocess := []string{"preprocess", "--dataset", cohort, "--store", store, "--preset", "demo", "--set", "spacing=10,15,15", "--set", "patch_size=8,16,16"}
	code, out, log = command(t, preprocess...)
	file := filepath.Join(cohort, "imagesUn", "unlabelled_0001_0000.nii.gz")
	if code != Rejected || !strings.Contains(out, "3 cases are preprocessed, 3 of them now\n1 rejected:\n  unlabelled_0001 (preprocess): "+file+": truncated") {
		t.Errorf("exit code %d\n%s%s", code, out, log)
	}
	code, out, log = command(t, append(preprocess, "--json")...)
	var got struct {
		Cases, New int
		Rejected   []struct{ Case, Stage, Reason, File, Message string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != Rejected || got.Cases != 3 || got.New != 0 || len(got.Rejected) != 1 ||
		got.Rejected[0].Reason != "truncated" || got.Rejected[0].File != file {
		t.Errorf("exit code %d, %v\n%s%s", code, err, out, log)
	}
	if !strings.Contains(log, "preprocess: 4 of 4 cases were done before; nothing to do, 1 rejected") {
		t.Errorf("the second run says\n%s", log)
	}
	code, out, _ = command(t, "plan", "--dataset", cohort, "--store", store, "--explain")
	if code != Done || !strings.Contains(out, "patch_size") || !strings.Contains(out, "memory on ") || !strings.Contains(out, "planned before") {
		t.Errorf("plan --explain: exit code %d\n%s", code, out)
	}
	code, out, _ = command(t, "plan", "--dataset", cohort, "--store", store, "--json")
	var planned struct {
		Plan     struct{ Format int }
		New      bool
		Rejected []any
	}
	if err := json.Unmarshal([]byte(out), &planned); err != nil || code != Done || planned.Plan.Format != 2 || planned.New || planned.Rejected == nil {
		t.Errorf("plan --json: exit code %d, %v\n%s", code, err, out)
	}
}

// TestFailed is about commands that cannot do their work: 1, and one line that says why.
func TestFailed(t *testing.T) {
	folder := t.TempDir()
	for args, want := range map[string]string{
		"plan --dataset " + folder + " --store " + folder + "/s":                                      "a dataset is a folder in nnU-Net v2's raw layout",
		"predict --store " + folder + "/s --input " + folder + " --output " + folder + "/o":           "run `noisystudent plan` first",
		"evaluate --predictions " + folder + "/p --references " + folder + "/labelsTs":                "--dataset-json",
		"loop --dataset s3://bucket/x --store " + folder + "/s":                                       "s3",
		"phantom --out " + folder + "/c --from " + folder + "/ct.nii.gz," + folder + "/labels.nii.gz": "no such file",
	} {
		code, out, log := command(t, strings.Fields(args)...)
		last := log[strings.LastIndex(strings.TrimSpace(log), "\n")+1:]
		if code != Failed || out != "" || !strings.HasPrefix(last, "noisystudent: ") || !strings.Contains(last, want) {
			t.Errorf("%s: exit code %d, %q, %q", args, code, out, log)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1073741824": 1 << 30, "6GiB": 6 << 30, "6gb": 6 << 30, "1.5M": 3 << 19, "800K": 800 << 10, "2T": 2 << 40,
		"": 0, "G": 0, "-1": 0, "0": 0, "NaN": 0, "1e300": 0, "9999999T": 0, "6 GiB": 0, "6GiBs": 0,
	} {
		got, err := parseBytes(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestInterruption(t *testing.T) {
	if got := Interruption([]string{"./noisystudent", "loop", "--dataset", "my scans", "--store", "it's"}); !strings.Contains(got, "\n  ./noisystudent loop --dataset 'my scans' --store 'it'\\''s'\n") {
		t.Errorf("%s", got)
	}
	if got := Interruption([]string{filepath.Join(os.TempDir(), "go-build123", "b001", "exe", "noisystudent"), "demo"}); !strings.Contains(got, "\n  go run . demo\n") {
		t.Errorf("%s", got)
	}
}

func TestLines(t *testing.T) {
	var log buffer
	m := newProgress(&log).Stage("train teacher", 50, "step").(*lines)
	m.At(20, "") // before this run
	m.start, m.printed = time.Now().Add(-20*time.Second), time.Now().Add(-time.Minute)
	m.At(30, "9.1 samples/s")
	m.At(31, "")
	m.End("50 of 50 steps, 30 of them now")
	want := regexp.MustCompile(`^train teacher: 30 of 50 steps, 0\.50 steps/s, 40s left, 9\.1 samples/s\ntrain teacher: 50 of 50 steps, 30 of them now, 20\S*s\n$`)
	if got := log.String(); !want.MatchString(got) {
		t.Errorf("%s", got)
	}
}

func TestBar(t *testing.T) {
	var log buffer
	p := &progress{w: &log, terminal: true}
	m := p.Stage("preprocess", 9, "case")
	m.At(9, "")
	m.End("9 of 9 cases were done before; nothing to do")
	if got := log.String(); !strings.HasPrefix(got, "preprocess: 9 of 9 cases were done before; nothing to do, ") {
		t.Errorf("%q", got)
	}
	m = p.Stage("train teacher", 50, "step")
	m.At(20, "9.1 samples/s")
	time.Sleep(120 * time.Millisecond)
	m.At(35, "9.1 samples/s")
	m.End("35 of 50 steps, stopped")
	got := log.String()
	for _, want := range []string{"train teacher (20 done before), 9.1 samples/s", "(15/30", "steps/s", "train teacher: 35 of 50 steps, stopped, "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}
