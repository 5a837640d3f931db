package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestBook(t *testing.T) {
	Reset()
	t.Cleanup(Reset)
	var log bytes.Buffer
	SetLog(slog.New(slog.NewJSONHandler(&log, nil)))
	t.Cleanup(func() { SetLog(nil) })
	ctx := Begin(t.Context())
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { AddForward(ctx) })
	}
	group.Wait()
	Did(ctx)
	AddBytes(ctx, 5<<20)
	time.Sleep(time.Millisecond)
	if e := Book(ctx, "predict", "one", ""); !e.Did || e.Forwards != 4 || e.Bytes != 5<<20 || e.Took < time.Millisecond {
		t.Errorf("%+v", e)
	}
	// A second case of the same element has its own work only.
	if e := Book(ctx, "predict", "two", ""); e.Did || e.Forwards != 0 || e.Bytes != 0 {
		t.Errorf("%+v", e)
	}
	Book(Begin(t.Context()), "predict", "three", "truncated")
	Book(t.Context(), "score", "one", "") // without Begin nothing was counted
	BookEpoch(t.Context(), "fit", "teacher fold 0", 3, 2.5)
	list := Totals()
	if len(list) != 3 || list[0].Stage != "fit" || list[2].Stage != "score" {
		t.Fatalf("%+v", list)
	}
	p := list[1]
	if p.Done != 1 || p.Standing != 1 || p.Refused() != 1 || p.Rejected["truncated"] != 1 || p.Forwards != 4 || p.Seconds.Count != 1 {
		t.Errorf("%+v", p)
	}
	if p.Bytes.Sum != 5<<20 || p.Bytes.UpTo[1] != 0 || p.Bytes.UpTo[3] != 1 || p.Bytes.UpTo[len(p.Bytes.UpTo)-1] != 1 {
		t.Errorf("bytes %+v", p.Bytes)
	}
	if f := list[0]; f.Epochs != 1 || f.Seconds.Sum != 2.5 {
		t.Errorf("%+v", f)
	}
	var outcomes []string
	for line := range strings.Lines(log.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		outcome, _ := v["outcome"].(string)
		outcomes = append(outcomes, outcome)
	}
	if got := strings.Join(outcomes, " "); got != "done standing rejected standing " {
		t.Errorf("logged %q", got)
	}
}

func TestWithoutWork(t *testing.T) {
	ctx := context.Background() // of callers that count nothing
	Did(ctx)
	AddForward(ctx)
	AddBytes(ctx, 1)
}
