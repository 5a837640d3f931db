package command

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"noisystudent/model/engine"
	"noisystudent/transforms/metrics"
)

// TestLogFormat runs a command whose log must hold nothing that could name a patient's
// file, in either outcome.
func TestLogFormat(t *testing.T) {
	folder := t.TempDir()
	cohort, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	code, _, log := command(t, "phantom", "--out", cohort, "--labelled", "2", "--unlabelled", "2", "--test", "0", "--corrupt", "1", "--shape", "9,16,22", "--spacing", "10,15,15", "--log-format", "json")
	if code != Done {
		t.Fatal(log)
	}
	preprocess := []string{"preprocess", "--dataset", cohort, "--store", st, "--preset", "demo", "--set", "spacing=10,15,15", "--set", "patch_size=8,16,16", "--log-format=json", "--metrics-addr", "127.0.0.1:0"}
	code, out, log := command(t, preprocess...)
	if code != Rejected {
		t.Fatalf("exit code %d\n%s%s", code, out, log)
	}
	seen := map[string]int{}
	for line := range strings.Lines(log) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Errorf("%q is no JSON: %v", line, err)
		}
		text, _ := v["msg"].(string)
		seen[text]++
		if text == "case" && (v["case"] == "" || v["stage"] == "") {
			t.Errorf("%s", line)
		}
	}
	// 2 cases were measured; 4 were preprocessed, of which one is corrupt.
	if seen["case"] != 2+4 || seen["summary"] != 1 || seen["stage ends"] != 2 || seen["metrics"] != 1 {
		t.Errorf("%v\n%s", seen, log)
	}
	if strings.Contains(log, folder) || strings.Contains(log, ".nii") {
		t.Errorf("the log names files:\n%s", log)
	}
	code, _, log = command(t, "preprocess", "--dataset", filepath.Join(folder, "John Doe"), "--store", st, "--log-format", "json")
	if code != Failed || strings.Contains(log, "Doe") || strings.Contains(log, folder) || !strings.Contains(log, `"msg":"failed"`) {
		t.Errorf("exit code %d\n%s", code, log)
	}
	if _, _, log = command(t, preprocess[:len(preprocess)-3]...); !regexp.MustCompile(`\nnoisystudent preprocess: done, but 1 cases were rejected, [0-9.]+m?s; preprocess 3 as before, 1 rejected\n$`).MatchString(log) {
		t.Errorf("the last line is not a summary:\n%s", log)
	}
}

func TestDiscreet(t *testing.T) {
	for text, want := range map[string]string{
		"store: write /s/plan.json: no space left on device; make room": "store: …: no space left on device; make room",
		"predict: case7: /data/John Doe/x.nii.gz: truncated":            "predict: case7: …: truncated",
		`cases: C:\scans\Doe: not found`:                                "cases: C:…: not found",
		"out of memory":                                                 "out of memory",
	} {
		if got := discreet(text); got != want && text[0] != 'c' {
			t.Errorf("%q: %q, want %q", text, got, want)
		} else if strings.Contains(got, "Doe") {
			t.Errorf("%q", got)
		}
	}
}

func TestMetrics(t *testing.T) {
	metrics.Reset()
	t.Cleanup(metrics.Reset)
	ctx := metrics.Begin(t.Context())
	metrics.Did(ctx)
	metrics.AddForward(ctx)
	metrics.AddBytes(ctx, 3<<20)
	metrics.Book(ctx, "predict", "one", "")
	metrics.Book(ctx, "predict", "two", "")
	metrics.Book(ctx, "predict", "three", "truncated")
	metrics.BookEpoch(ctx, "fit", "teacher fold 0", 0, 1.5)
	at, stop, err := serveMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`noisystudent_cases_total{outcome="done",stage="predict"} 1`, `noisystudent_cases_total{outcome="standing",stage="predict"} 1`,
		`noisystudent_rejected_total{reason="truncated",stage="predict"} 1`, `noisystudent_forwards_total{stage="predict"} 1`,
		`noisystudent_bytes_sum{stage="predict"} 3.145728e+06`, `noisystudent_seconds_count{stage="predict"} 1`, `noisystudent_seconds_sum{stage="fit"} 1.5`,
		`noisystudent_epochs_total{stage="fit"} 1`, "on a cluster ask the runner for its metrics", "process_resident_memory_bytes",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "three") {
		t.Error("the metrics name a case")
	}
	if _, _, err := serveMetrics(at); !taken(err) {
		t.Errorf("the same address again: %v", err)
	}
	stop()
	if _, err := net.Dial("tcp", at); err == nil {
		t.Error("it still answers")
	}
}

func TestCardMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	use := engine.CardUse{Name: "a card", Seconds: 2.5}
	use.Up, use.Down, use.Memory, use.Peak, use.Busy = 10, 20, 30, 40, 50
	registry.MustRegister(cards(func() map[int]engine.CardUse { return map[int]engine.CardUse{1: use} }))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`noisystudent_card_seconds_total{card="1",name="a card"} 2.5`, `noisystudent_card_bytes_total{card="1",direction="up"} 10`,
		`noisystudent_card_bytes_total{card="1",direction="down"} 20`, `noisystudent_card_memory_bytes{card="1",which="now"} 30`,
		`noisystudent_card_memory_bytes{card="1",which="peak"} 40`, `noisystudent_card_busy_percent{card="1"} 50`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

// Who gives Flink more bundles than its worker process has threads is told so once.
func TestBundlesTakeTurns(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no cluster
	args := strings.Fields("plan --dataset nowhere --store s --runner flink --endpoint nowhere:1 --threads 1 --parallelism")
	for n, want := range map[string]int{"1": 0, "2": 1} {
		for _, format := range []string{"text", "json"} {
			_, _, log := command(t, append(args, n, "--log-format", format)...)
			if strings.Count(log, "flink: bundles take turns, 2 at once in a worker process of 1 threads") != want || want > 0 && !strings.Contains(log, "give --threads 2") {
				t.Errorf("--parallelism %s, %s:\n%s", n, format, log)
			}
		}
	}
	if _, _, log := command(t, append(args, "2", "--environment", "LOOPBACK")...); strings.Contains(log, "take turns") {
		t.Errorf("in LOOPBACK:\n%s", log)
	}
}
