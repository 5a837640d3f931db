package command

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestView starts the command, asks its address, and ends it as Ctrl-C does.
func TestView(t *testing.T) {
	scan := filepath.Join(t.TempDir(), "ct.nii.gz")
	if err := os.WriteFile(scan, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, log buffer
	done := make(chan int, 1)
	go func() { done <- Main(ctx, []string{"view", "--input", scan}, &out, &log) }()
	for !strings.HasSuffix(out.String(), "\n") {
		select {
		case code := <-done:
			t.Fatalf("exit code %d: %s", code, log.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	address := strings.TrimSpace(out.String())
	if !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Errorf("the address is %s", address)
	}
	for path, want := range map[string]int{"": http.StatusOK, "case/0/scan": http.StatusUnprocessableEntity} {
		answer, err := http.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%q: %s, want %d", path, answer.Status, want)
		}
	}
	cancel()
	if code := <-done; code != Done {
		t.Errorf("exit code %d: %s", code, log.String())
	}
	if _, err := http.Get(address); err == nil {
		t.Error("it answers after its end")
	}
}
