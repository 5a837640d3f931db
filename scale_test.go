//go:build unix

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"noisystudent/pipelines/command"
)

// many is a cohort of many small cases and a store with two teachers that have hardly
// learned anything: what a case costs beside the network is what shows.
type many struct {
	testing.TB
	cohort, store, labels string
}

// cost is what one process took.
type cost struct {
	wall, cpu time.Duration
	rss       int64 // bytes at the peak
}

// outcome is what commands print with --json; those that count otherwise leave Cases 0.
type outcome struct {
	Cases, Scans, New, Kept, Dropped int
	Rejected                         []struct{ Case, Stage, Reason, File, Message string }
}

func newMany(t testing.TB, unlabelled int) many {
	t.Helper()
	folder := t.TempDir()
	m := many{t, filepath.Join(folder, "cohort"), filepath.Join(folder, "store"), filepath.Join(folder, "labels")}
	run(t, command.Done, "phantom", "--out", m.cohort, "--labelled", "2", "--unlabelled", fmt.Sprint(unlabelled), "--test", "0",
		"--shape", "12,24,24", "--spacing", "15,15,15", "--seed", "1")
	train := []string{"train", "--dataset", m.cohort, "--store", m.store, "--preset", "demo"}
	for _, s := range []string{
		"spacing=15,15,15", "patch_size=8,16,16", "architecture.features_per_stage=4,6,8", "architecture.n_conv_per_stage=1,1,1",
		"architecture.n_conv_per_stage_decoder=1,1", "training.folds=2", "training.steps_per_epoch=1", "training.teacher_epochs=1",
		"training.student_epochs=1", "training.finetune_epochs=1", "training.warmup_steps=1",
	} {
		train = append(train, "--set", s)
	}
	run(t, command.Done, train...)
	return m
}

// run runs the program and reads the result that it prints.
func (m many) run(code int, args ...string) (outcome, cost) {
	m.Helper()
	cmd, out := program(append(args, "--json")...)
	var result bytes.Buffer
	cmd.Stdout = &result
	start := time.Now()
	_ = cmd.Run()
	p := cmd.ProcessState
	c := cost{wall: time.Since(start), cpu: p.UserTime() + p.SystemTime(), rss: p.SysUsage().(*syscall.Rusage).Maxrss << 10}
	var o outcome
	if err := json.Unmarshal(result.Bytes(), &o); p.ExitCode() != code || err != nil {
		m.Fatalf("%v exits with %d, want %d, %v:\n%s%s", args, p.ExitCode(), code, err, result.String(), out)
	}
	return o, c
}

func (m many) preprocess(code int) (outcome, cost) {
	m.Helper()
	return m.run(code, "preprocess", "--dataset", m.cohort, "--store", m.store)
}

func (m many) pseudolabel(code int) (outcome, cost) {
	m.Helper()
	return m.run(code, "pseudolabel", "--dataset", m.cohort, "--store", m.store)
}

func (m many) predict(code int, flags ...string) (outcome, cost) {
	m.Helper()
	return m.run(code, append([]string{"predict", "--store", m.store, "--input", filepath.Join(m.cohort, "imagesUn"), "--output", m.labels}, flags...)...)
}

// BenchmarkMany runs a thousand small cases through whole processes: cases a second with
// one thread and with two, by turns; the second run, whose models have no weights any
// more, so that no network can have run; the memory beside that of a hundred cases; and
// the same with a bad file of each kind among them:
//
//	go test . -run '^$' -bench Many -benchtime 1x -v -timeout 1h
func BenchmarkMany(b *testing.B) {
	const count, turns = 1000, 5
	m := newMany(b, count)
	for range b.N {
		var one, two []float64
		var first, second cost
		for range turns {
			m.forget()
			_, c := m.predict(command.Done, "--threads", "1")
			one = append(one, count/c.wall.Seconds())
			m.forget()
			_, first = m.predict(command.Done, "--threads", "2")
			two = append(two, count/first.wall.Seconds())
		}
		b.Logf("predict, cases/s: %.0f with one thread, %.0f with two; load %s", one, two, load())
		b.ReportMetric(median(two)/median(one), "x-two-threads")
		_, prepared := m.preprocess(command.Done)
		b.Logf("preprocess: %v; predict: %v", prepared, first)
		m.removeWeights()
		for range turns {
			var o outcome
			if o, second = m.predict(command.Done); o.Cases != count || o.New != 0 {
				b.Errorf("the second run: %+v", o)
			}
			_, again := m.preprocess(command.Done)
			b.Logf("second run: predict %v, preprocess %v; load %s", second, again, load())
		}
		b.ReportMetric(second.wall.Seconds(), "s-second-run")
		few := newMany(b, count/10)
		_, fewPredict := few.predict(command.Done)
		_, fewPrepared := few.preprocess(command.Done)
		b.Logf("a tenth of the cases: preprocess %v, predict %v", fewPrepared, fewPredict)
	}
	checkBadInput(newMany(b, count), count)
}

// BenchmarkReprocess keeps a thousand small scans labelled, in whole processes: the first
// run over all but ten; runs over the same, with no weights left, so that no network can
// have run; and the run that finds the ten:
//
//	go test . -run '^$' -bench Reprocess -benchtime 1x -v -timeout 1h
func BenchmarkReprocess(b *testing.B) {
	const count, late, turns = 1000, 10, 6
	for range b.N {
		m := newMany(b, count)
		place, elsewhere := filepath.Join(m.cohort, "imagesUn"), b.TempDir()
		move := func(from, to string) {
			for i := range late {
				name := fmt.Sprintf("unlabelled_%04d_0000.nii.gz", i*count/late)
				if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
					b.Fatal(err)
				}
			}
		}
		reprocess := func(what string, scans, fresh int) cost {
			b.Helper()
			o, c := m.run(command.Done, "reprocess", "--store", m.store, "--input", place, "--settle", "1s")
			if o.Scans != scans || o.New != fresh {
				b.Errorf("%s: %+v", what, o)
			}
			b.Logf("%s: %v; load %s", what, c, load())
			return c
		}
		move(place, elsewhere)
		reprocess("first run", count-late, count-late)
		models := m.removeWeights()
		var idle []float64
		for range turns {
			idle = append(idle, reprocess("nothing new", count-late, 0).wall.Seconds())
		}
		for file, data := range models {
			if err := os.WriteFile(file, data, 0o666); err != nil {
				b.Fatal(err)
			}
		}
		move(elsewhere, place)
		c := reprocess("ten new", count, late)
		b.ReportMetric(median(idle), "s-nothing-new")
		b.ReportMetric(c.wall.Seconds(), "s-ten-new")
	}
}

func (c cost) String() string {
	return fmt.Sprintf("%.2f s, %.2f s of CPU, %d MiB", c.wall.Seconds(), c.cpu.Seconds(), c.rss>>20)
}

// forget takes away what was predicted. It removes nothing: a file system is busy with that for seconds after.
func (m many) forget() {
	m.Helper()
	stages, err := filepath.Glob(filepath.Join(m.store, "ledger", "predict-*"))
	if err != nil {
		m.Fatal(err)
	}
	away := m.TempDir()
	for i, folder := range append(stages, filepath.Join(m.store, "predictions"), filepath.Join(m.store, "report", "seconds"), filepath.Join(m.store, "ledger", "index"), m.labels) {
		if err := os.Rename(folder, filepath.Join(away, fmt.Sprint(i))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.Fatal(err)
		}
	}
}

// removeWeights takes the weights of all models away and returns them by file.
func (m many) removeWeights() map[string][]byte {
	m.Helper()
	models := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(m.store, "models", "*", "*", "*", "weights.safetensors"))
	if err != nil || len(files) == 0 {
		m.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err = errors.Join(err, os.Remove(file)); err != nil {
			m.Fatal(err)
		}
		models[file] = data
	}
	return models
}

func median(seconds []float64) float64 { return slices.Sorted(slices.Values(seconds))[len(seconds)/2] }

// load is the machine's, of the last minute.
func load() string {
	data, _ := os.ReadFile("/proc/loadavg")
	text, _, _ := strings.Cut(string(data), " ")
	return text
}

// TestBadInputAmongMany spoils a file of each kind among a hundred: exactly those are
// rejected, each for its reason, and every other case is done.
func TestBadInputAmongMany(t *testing.T) {
	checkBadInput(newMany(t, 100), 100)
}

func checkBadInput(m many, count int) {
	m.Helper()
	want := spoil(m, count)
	good := count - len(want)
	o, _ := m.preprocess(command.Rejected)
	check := func(what string, o outcome, done int) {
		m.Helper()
		got := map[string]string{}
		for _, r := range o.Rejected {
			got[r.Case] = r.Reason
			if !strings.Contains(r.Message, r.File) || !strings.Contains(r.Message, "; ") {
				m.Errorf("%s: %s: the message names neither file nor remedy: %s", what, r.Case, r.Message)
			}
		}
		if !maps.Equal(got, want) || len(o.Rejected) != len(want) {
			m.Errorf("%s: rejected %v, want %v", what, got, want)
		}
		if done != good {
			m.Errorf("%s: %d of %d good cases are done", what, done, good)
		}
	}
	check("preprocess", o, o.Cases-2)
	o, _ = m.pseudolabel(command.Rejected)
	check("pseudolabel", o, o.Kept+o.Dropped)
	o, _ = m.predict(command.Rejected)
	check("predict", o, o.Cases)
	check("predict", o, o.New)
	files, err := os.ReadDir(m.labels)
	if err != nil || len(files) != good {
		m.Errorf("the output has %d files, want %d, %v", len(files), good, err)
	}
	o, _ = m.predict(command.Rejected)
	check("predict again", o, o.Cases-o.New)
}

// spoil breaks one file of each kind, spread over the cohort, and tells the reasons by case.
func spoil(m many, count int) map[string]string {
	m.Helper()
	want := map[string]string{}
	for i, s := range spoilings {
		id := fmt.Sprintf("unlabelled_%04d", i*count/len(spoilings))
		file := filepath.Join(m.cohort, "imagesUn", id+"_0000.nii.gz")
		if err := s.spoil(file); err != nil {
			m.Fatalf("%s: %v", s.reason, err)
		}
		want[id] = s.reason
	}
	return want
}

// spoilings are what broken copies and odd exports look like.
var spoilings = []struct {
	reason string
	spoil  func(file string) error
}{
	{"truncated", cut},
	{"truncated", func(file string) error { return os.WriteFile(file, nil, 0o666) }},
	{"header-mismatch", header(func(h []byte) { put16(h, 42, 17) })}, // fewer voxels than there are
	{"bad-dimensions", header(func(h []byte) {
		for axis := range 3 {
			put16(h, 42+2*axis, 32767)
		}
	})},
	{"unsupported-type", header(func(h []byte) { put16(h, 40, 4); put16(h, 48, 2) })}, // 4-D
	{"unsupported-type", header(func(h []byte) { put16(h, 70, 32); put16(h, 72, 64) })},
	{"unsupported-type", func(file string) error { return os.WriteFile(file, []byte(strings.Repeat("text ", 200)), 0o666) }},
	{"non-finite", notANumber},
	{"bad-geometry", header(func(h []byte) { clear(h[280:328]); put16(h, 252, 0) })}, // a singular affine
	{"bad-geometry", header(func(h []byte) { clear(h[80:92]) })},                     // no spacing
	{"missing-file", func(file string) error { return errors.Join(os.Remove(file), os.Symlink("nowhere.nii.gz", file)) }},
	{"unsupported-type", inFolder},
}

func cut(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data[:len(data)*3/5], 0o666)
}

// header spoils the header of a file and leaves its voxels.
func header(spoil func(h []byte)) func(file string) error {
	return func(file string) error {
		return rewritten(file, func(data []byte) []byte {
			spoil(data[:348])
			return data
		})
	}
}

// notANumber makes a file's voxels float32 and one of them no number.
func notANumber(file string) error {
	return rewritten(file, func(data []byte) []byte {
		out := slices.Clone(data[:352])
		put16(out, 70, 16)
		put16(out, 72, 32)
		for i := 352; i+1 < len(data); i += 2 {
			v := float32(int16(binary.LittleEndian.Uint16(data[i:])))
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
		binary.LittleEndian.PutUint32(out[352+4000:], math.Float32bits(float32(math.NaN())))
		return out
	})
}

// rewritten unpacks a file, changes its bytes and packs it again.
func rewritten(file string, change func([]byte) []byte) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(change(data)); err != nil {
		return err
	}
	return errors.Join(w.Close(), os.WriteFile(file, packed.Bytes(), 0o666))
}

// inFolder puts a folder of the file's name in its place, with the file in it, as some
// programs unpack.
func inFolder(file string) error {
	return errors.Join(os.Rename(file, file+".moved"), os.Mkdir(file, 0o777), os.Rename(file+".moved", filepath.Join(file, "ct.nii.gz")))
}

func put16(b []byte, at int, v uint16) { binary.LittleEndian.PutUint16(b[at:], v) }
