package flink

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// alone gives the test a cache folder with the state of a cluster, or none.
func alone(t *testing.T, state string) {
	t.Helper()
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	base, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no cache folder")
	}
	folder := filepath.Join(base, "noisystudent", "flink")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if state == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(folder, "cluster.json"), []byte(state), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEndpoint(t *testing.T) {
	const here = `{"endpoint":"localhost:7","local":true,"slots":4}`
	for _, c := range []struct {
		state string
		o     Options
		want  string // part of the error
		local bool
	}{
		{"", Options{}, "`noisystudent flink up`", false},
		{"{", Options{}, "`noisystudent flink down`, then `up`", false},
		{"", Options{Endpoint: "h:1"}, "", false},
		{"{", Options{Endpoint: "h:1"}, "", false},
		{here, Options{}, "", true},
		{here, Options{Endpoint: "localhost:7"}, "", true},
		{here, Options{Endpoint: "h:1"}, "", false},
		{here, Options{Environment: "external", Config: "h:2"}, "", false},
		{here, Options{Parallelism: 4}, "", true},
		{here, Options{Parallelism: 5}, "flink up --slots 5`", true},
		{here, Options{Endpoint: "h:1", Parallelism: 5}, "", false},
	} {
		alone(t, c.state)
		err := c.o.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || c.o.Local() != c.local {
			t.Errorf("%s %+v: %v, local %v", c.state, c.o, err, c.o.Local())
		}
	}
}

// A job server that does not answer is told within seconds, and how to mend it.
func TestNobodyAnswers(t *testing.T) {
	alone(t, `{"endpoint":"localhost:1"}`)
	err := Run(t.Context(), nil, Options{})
	if err == nil || !strings.Contains(err.Error(), "no job server answers at localhost:1; `noisystudent flink status`") {
		t.Errorf("%v", err)
	}
}
