package pipelines

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store"
)

// TestStage is about what people read when a stage has ended.
func TestStage(t *testing.T) {
	for _, c := range []struct {
		before, done int64
		t            tally
		err          error
		want         string
	}{
		{0, 9, tally{added: 9}, nil, "9 of 9 cases"},
		{0, 9, tally{added: 7, refused: 2}, nil, "9 of 9 cases, 2 rejected"},
		{0, 9, tally{refused: 9}, nil, "9 of 9 cases, 9 rejected"},
		{4, 9, tally{added: 5}, nil, "9 of 9 cases, 5 of them now"},
		{9, 9, tally{added: 1}, nil, "9 of 9 cases, 1 of them now"},
		{9, 9, tally{}, nil, "9 of 9 cases were done before; nothing to do"},
		{9, 9, tally{refused: 1}, nil, "9 of 9 cases were done before; nothing to do, 1 rejected"},
		{2, 5, tally{added: 3}, errors.New("x"), "5 of 9 cases, stopped"},
	} {
		counts := []int64{c.before, c.done}
		s := stage{name: "preprocess", detail: "again", unit: "case", total: 9, done: func(context.Context) (int64, error) {
			n := counts[0]
			counts = counts[1:]
			return n, nil
		}}
		log := &notes{}
		before, _, err := s.follow(t.Context(), log, func(context.Context) (tally, error) { return c.t, c.err })
		if lines := log.take(); before != c.before || err != c.err || len(lines) != 1 || lines[0] != "preprocess again: "+c.want {
			t.Errorf("%+v: %d, %v, %q", c, before, err, lines)
		}
	}
}

// TestClock adds up runs on one store.
func TestClock(t *testing.T) {
	st, err := store.Open(t.Context(), "mem://"+t.Name())
	if err != nil {
		t.Fatal(err)
	}
	const second = time.Second
	for i, c := range []struct {
		work func(c *clock)
		want map[string]float64
	}{
		{func(c *clock) { c.spent("train", 5*second, false, true) }, map[string]float64{"train": 5}},                                       // interrupted
		{func(c *clock) { c.spent("train", 7*second, true, true) }, map[string]float64{"train": 12}},                                       // goes on
		{func(c *clock) { c.spent("train", second, true, false) }, map[string]float64{"train": 12}},                                        // looks
		{func(c *clock) { c.recall("train"); c.recall("test") }, map[string]float64{"train": 12}},                                          // need not look
		{func(c *clock) { c.spent("test", 2*second, false, true); c.spent("test", 3*second, false, true) }, map[string]float64{"test": 5}}, // two models
		{func(c *clock) { c.spent("test", second, true, false); c.spent("test", 3*second, false, true) }, map[string]float64{"test": 8}},   // a third
		{func(c *clock) { c.spent("train", 4*second, false, true) }, map[string]float64{"train": 4}},                                       // all anew
		{func(c *clock) { c.spent("look", second, true, false) }, map[string]float64{"look": 1}},                                           // made before there was a clock
	} {
		var k clock
		if err := k.read(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		c.work(&k)
		if diff := cmp.Diff(c.want, k.seconds()); diff != "" {
			t.Errorf("run %d (-want +got)\n%s", i, diff)
		}
		k.write(t.Context(), st)
	}
}
