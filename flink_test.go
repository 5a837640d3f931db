package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"noisystudent/pipelines/command"
	"noisystudent/runners/flink/cluster"
)

// flinkCluster is the cluster that tests run on: NOISYSTUDENT_FLINK=DIR after
// `noisystudent flink up --dir DIR`.
func flinkCluster(t *testing.T) cluster.State {
	t.Helper()
	if os.Getenv("NOISYSTUDENT_FLINK") == "" {
		t.Skip("needs Flink: NOISYSTUDENT_FLINK=DIR of `noisystudent flink up --dir DIR`")
	}
	state, err := cluster.Read(os.Getenv("NOISYSTUDENT_FLINK"))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// asDefault makes the cluster the one that programs find without being told.
func asDefault(t *testing.T) {
	t.Helper()
	real, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	folder := filepath.Join(cache, "noisystudent")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	jars, _ := filepath.Glob(filepath.Join(real, "noisystudent", "flink-*"))
	for name, to := range map[string][]string{"": jars, "flink": {os.Getenv("NOISYSTUDENT_FLINK")}} {
		for _, target := range to {
			if err := os.Symlink(target, filepath.Join(folder, cmp.Or(name, filepath.Base(target)))); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("XDG_CACHE_HOME", cache)
}

// flinkWorker is a script that Flink starts as worker: the program in this test binary,
// with variables NAME=VALUE of its own.
func flinkWorker(t *testing.T, variables ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "worker")
	text := fmt.Sprintf("#!/bin/sh\n%s exec '%s' \"$@\"\n", strings.Join(append(variables, asMain+"=1"), " "), self)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}

// smallPlan is a network of a few hundred weights.
func smallPlan(set ...string) []string {
	args := []string{"--preset", "demo"}
	for _, s := range append([]string{
		"spacing=10,15,15", "patch_size=8,16,16", "architecture.features_per_stage=4,6,8", "inference.step_size=1",
		"training.folds=2", "training.steps_per_epoch=3", "training.teacher_epochs=2",
	}, set...) {
		args = append(args, "--set", s)
	}
	return args
}

// smallCohort makes a cohort and returns its folder.
func smallCohort(t *testing.T, folder string) string {
	t.Helper()
	cohort := filepath.Join(folder, "cohort")
	run(t, command.Done, "phantom", "--out", cohort, "--labelled", "3", "--unlabelled", "2", "--test", "2", "--shape", "9,16,22", "--spacing", "10,15,15")
	return cohort
}

// TestFlink runs pipelines on a Flink cluster in every environment and compares all
// that they write with what Prism's runs write.
func TestFlink(t *testing.T) {
	state := flinkCluster(t)
	asDefault(t)
	folder := t.TempDir()
	cohort, st := smallCohort(t, folder), filepath.Join(folder, "store")
	training := append([]string{"train", "--dataset", cohort, "--store", st}, smallPlan()...)
	all := [][]string{
		append([]string{"plan"}, training[1:]...),
		append([]string{"preprocess"}, training[1:]...),
		training,
		append([]string{"pseudolabel"}, training[1:]...),
		{"predict", "--store", st, "--input", filepath.Join(cohort, "imagesTs"), "--output", filepath.Join(st, "labels"), "--model", "ensemble"},
		{"evaluate", "--store", st, "--predictions", filepath.Join(st, "labels"), "--references", filepath.Join(cohort, "labelsTs")},
	}
	// runAll fills the store by a runner and moves it away: names of files are part of it.
	runAll := func(as string, commands [][]string, flags ...string) map[string]string {
		for _, args := range commands {
			began := time.Now()
			run(t, command.Done, slices.Concat(args, flags)...)
			t.Logf("%s on %s: %.1f s", args[0], as, time.Since(began).Seconds())
		}
		to := filepath.Join(folder, as)
		if err := os.Rename(st, to); err != nil {
			t.Fatal(err)
		}
		return withoutTimes(t, to)
	}
	whole := runAll("prism", all)
	trained := runAll("prism once more", [][]string{training})
	flink := []string{"--runner", "flink"}
	process := append(flink, "--environment-config", flinkWorker(t))
	compare(t, "PROCESS", whole, runAll("process", all, append(process, "--parallelism", "2")...))
	compare(t, "LOOPBACK", trained, runAll("loopback", [][]string{training}, append(flink, "--environment", "LOOPBACK", "--parallelism", "2")...))
	compare(t, "EXTERNAL", trained, runAll("external", [][]string{training}, append(flink, "--environment", "EXTERNAL", "--environment-config", workerPool(t))...))
	workers, err := os.ReadFile(state.Workers)
	if err != nil || !bytes.Contains(workers, []byte("starts as ")) {
		t.Errorf("the workers' log does not tell of them: %v\n%s", err, workers)
	}
}

// TestFlinkListensHereOnly knocks at the cluster's ports, which ask for no password, by
// every other address of this machine.
func TestFlinkListensHereOnly(t *testing.T) {
	state := flinkCluster(t)
	_, rest, _ := net.SplitHostPort(state.REST)
	ports := append(jobServerPorts(t), rest)
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, a := range addresses {
		ip, _, err := net.ParseCIDR(a.String())
		if err != nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		for _, port := range ports {
			tried++
			if address := net.JoinHostPort(ip.String(), port); cluster.Answers(t.Context(), address) {
				t.Errorf("%s answers", address)
			}
		}
	}
	t.Logf("%d ports %v of other addresses refuse", tried, ports)
}

// jobServerPorts are those of jobs, artifacts and expansion, as its command line has them.
func jobServerPorts(t *testing.T) (ports []string) {
	t.Helper()
	s, err := cluster.Look(t.Context(), os.Getenv("NOISYSTUDENT_FLINK"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Processes {
		args, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(p.PID)).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`--[a-z]+-port=(\d+)`).FindAllSubmatch(args, -1) {
			ports = append(ports, string(m[1]))
		}
	}
	if len(ports) != 3 {
		t.Fatalf("ports %v, want three", ports)
	}
	return ports
}

// workerPool starts a pool and returns its address.
func workerPool(t *testing.T) string {
	t.Helper()
	cmd, out := program("flink", "pool", "--port", "0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if address, found := strings.CutSuffix(out.String(), "\n"); found {
			return address
		}
	}
	t.Fatalf("the pool does not start:\n%s", out)
	return ""
}

// timed are the files of a store that hold times, by a pattern, and the fields that
// do; none: the whole file.
var timed = map[string][]string{
	"report/timings.json":     nil,         // seconds of stages, peak memory
	"report/seconds/*/*.json": {"seconds"}, // of a case
	"models/*/*/*/state.json": { // how fast an epoch was
		"seconds", "samples_per_second", "waited", "at",
	},
	"models/*/*/training.jsonl": nil, // the same
	"models/*/*/events.out.*":   nil,
	"ledger/files/*.json": { // when a file was written and read: what spares reading it again
		"generation", "mod_time", "hashed",
	},
	"ledger/reprocess/*.json": {"generation", "mod_time"}, // of the scan's file
}

// withoutTimes reads a store without what timed names.
func withoutTimes(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, _ := filepath.Rel(root, name)
		data, err := os.ReadFile(name)
		files[filepath.ToSlash(key)] = untimed(t, filepath.ToSlash(key), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func untimed(t *testing.T, key string, data []byte) string {
	t.Helper()
	for pattern, fields := range timed {
		if match, _ := path.Match(pattern, key); !match {
			continue
		}
		if fields == nil {
			return ""
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		text, err := json.Marshal(without(v, fields))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return string(data)
}

// without removes fields at any depth.
func without(v any, fields []string) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if v[name] = without(inner, fields); slices.Contains(fields, name) {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = without(v[i], fields)
		}
	}
	return v
}

func compare(t *testing.T, name string, want, got map[string]string) {
	t.Helper()
	for key, text := range want {
		if other, there := got[key]; !there {
			t.Errorf("%s: no %s", name, key)
		} else if other != text {
			t.Errorf("%s: %s differs", name, key)
		}
	}
	for key := range got {
		if _, there := want[key]; !there {
			t.Errorf("%s: %s is not in Prism's store", name, key)
		}
	}
	if len(want) < 40 {
		t.Errorf("only %d files to compare", len(want))
	}
	t.Logf("%s: %d files are the same", name, len(want))
}

// TestFlinkRecovers kills a worker and then the TaskManager in the midst of training:
// the job ends, and its models are those of an undisturbed run.
func TestFlinkRecovers(t *testing.T) {
	state := flinkCluster(t)
	folder := t.TempDir()
	cohort, st := smallCohort(t, folder), filepath.Join(folder, "store")
	training := append([]string{"train", "--dataset", cohort, "--store", st}, smallPlan("training.steps_per_epoch=120", "training.teacher_epochs=12")...)
	run(t, command.Done, training...)
	if err := os.Rename(st, st+" of prism"); err != nil {
		t.Fatal(err)
	}
	run(t, command.Done, slices.Concat([]string{"preprocess"}, training[1:])...)
	cmd, out := program(append(training, "--runner", "flink", "--endpoint", state.Endpoint, "--environment-config", flinkWorker(t), "--parallelism", "2")...)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitEpoch(t, st, 2, out)
	t.Logf("epoch 2 of both folds after %.1f s", time.Since(began).Seconds())
	killWorkers(t)
	killed := time.Now()
	waitEpoch(t, st, lastEpoch(st)+1, out)
	t.Logf("worker killed: the next epoch is there after %.1f s", time.Since(killed).Seconds())
	waitEpoch(t, st, 6, out)
	killTaskManager(t)
	killed = time.Now()
	if _, err := cluster.Up(t.Context(), cluster.Options{Folder: os.Getenv("NOISYSTUDENT_FLINK")}); err != nil {
		t.Fatal(err)
	}
	t.Logf("TaskManager killed: another one is there after %.1f s", time.Since(killed).Seconds())
	waitEpoch(t, st, lastEpoch(st)+1, out)
	t.Logf("TaskManager killed: the next epoch is there after %.1f s", time.Since(killed).Seconds())
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("the job took %.1f s in all", time.Since(began).Seconds())
	want, got := weights(t, st+" of prism"), weights(t, st)
	for model, data := range want {
		if !bytes.Equal(got[model], data) {
			t.Errorf("%s differs from that of an undisturbed run", model)
		}
	}
	if len(want) != 2 || len(got) != 2 {
		t.Errorf("%d and %d models, want 2", len(want), len(got))
	}
	if left := workers(t); len(left) > 0 {
		time.Sleep(3 * time.Second) // those of the TaskManager that was killed look for it once a second
		if left = workers(t); len(left) > 0 {
			t.Errorf("workers %v have outlived their job", left)
		}
	}
}

// TestFlinkSpreadsFolds trains as many folds as there are slots: each has one of them.
func TestFlinkSpreadsFolds(t *testing.T) {
	state := flinkCluster(t)
	asDefault(t)
	const folds = 4
	folder := t.TempDir()
	cohort := filepath.Join(folder, "cohort")
	run(t, command.Done, "phantom", "--out", cohort, "--labelled", "8", "--unlabelled", "0", "--test", "0", "--shape", "9,16,22", "--spacing", "10,15,15")
	args := append([]string{"--dataset", cohort, "--store", filepath.Join(folder, "store")}, smallPlan(fmt.Sprintf("training.folds=%d", folds))...)
	run(t, command.Done, append([]string{"preprocess"}, args...)...)
	run(t, command.Done, slices.Concat([]string{"train"}, args, []string{"--runner", "flink", "--environment-config", flinkWorker(t), "--parallelism", strconv.Itoa(folds), "--threads", strconv.Itoa(folds)})...)
	if got := readBySlot(t, state, "fit.Jobs"); !slices.Equal(got, []int{1, 1, 1, 1}) {
		t.Errorf("slots got %v folds", got)
	}
}

// flinkJob is what Flink's REST interface tells of a job, or of many.
type flinkJob struct {
	ID       string `json:"jid"`
	Start    int64  `json:"start-time"`
	Jobs     []flinkJob
	Vertices []struct{ ID, Name string }
	Subtasks []struct {
		Metrics struct {
			Read int `json:"read-records"`
		}
	}
}

// readBySlot asks how many elements each slot has read in a stage of the last job.
func readBySlot(t *testing.T, state cluster.State, stage string) (read []int) {
	t.Helper()
	ask := func(path string) (answer flinkJob) {
		r, err := http.Get("http://" + state.REST + path)
		if err == nil {
			err = errors.Join(json.NewDecoder(r.Body).Decode(&answer), r.Body.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	last := slices.MaxFunc(ask("/jobs/overview").Jobs, func(a, b flinkJob) int { return cmp.Compare(a.Start, b.Start) })
	for _, v := range ask("/jobs/" + last.ID).Vertices {
		if strings.Contains(v.Name, stage) {
			for _, sub := range ask("/jobs/" + last.ID + "/vertices/" + v.ID).Subtasks {
				read = append(read, sub.Metrics.Read)
			}
		}
	}
	return read
}

// TestFlinkInterrupt interrupts a command: its job must not go on without it, or the
// next run of the command would train beside it.
func TestFlinkInterrupt(t *testing.T) {
	flinkCluster(t)
	asDefault(t)
	folder := t.TempDir()
	cohort, st := smallCohort(t, folder), filepath.Join(folder, "store")
	training := append([]string{"train", "--dataset", cohort, "--store", st, "--runner", "flink", "--environment-config", flinkWorker(t), "--parallelism", "2"},
		smallPlan("training.steps_per_epoch=120", "training.teacher_epochs=1000")...)
	cmd, out := program(training...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	waitFor(t, filepath.Join(st, "models/teacher/fold_*/latest"), out)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != command.Interrupted {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		s, err := cluster.Look(t.Context(), os.Getenv("NOISYSTUDENT_FLINK"))
		if err == nil && len(s.Jobs) == 0 && len(workers(t)) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("jobs %v and workers %v go on, %v", s.Jobs, workers(t), err)
		}
	}
}

// lastEpoch is the last one that both folds have finished.
func lastEpoch(st string) int {
	least := 1 << 30
	for fold := range 2 {
		var latest struct{ Epochs int }
		data, err := os.ReadFile(filepath.Join(st, "models", "teacher", "fold_"+strconv.Itoa(fold), "latest"))
		if err != nil || json.Unmarshal(data, &latest) != nil {
			return 0
		}
		least = min(least, latest.Epochs)
	}
	return least
}

func waitEpoch(t *testing.T, st string, epoch int, out *output) {
	t.Helper()
	for end := time.Now().Add(4 * time.Minute); lastEpoch(st) < epoch; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("epoch %d of %d, and no further:\n%s", lastEpoch(st), epoch, out)
		}
	}
}

// workers finds processes that Flink has started from this test binary.
func workers(t *testing.T) (pids []int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command("ps", "-A", "-ww", "-o", "pid=,args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == self && strings.Contains(line, "--provision_endpoint") {
			pid, err := strconv.Atoi(fields[0])
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill is kill -9.
func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

func killWorkers(t *testing.T) {
	t.Helper()
	found := workers(t)
	if len(found) == 0 {
		t.Fatal("no worker to kill")
	}
	for _, pid := range found {
		kill(t, pid)
	}
}

func killTaskManager(t *testing.T) {
	t.Helper()
	s, err := cluster.Look(t.Context(), os.Getenv("NOISYSTUDENT_FLINK"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Processes {
		t.Logf("%s takes %d MiB", p.Role, p.RSS>>20)
		if p.Role == "taskmanager" {
			kill(t, p.PID)
		}
	}
}
