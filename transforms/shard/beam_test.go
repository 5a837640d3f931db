package shard_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"noisystudent/transforms/beamtest"
	"noisystudent/transforms/shard"
)

func TestMain(m *testing.M) { beamtest.Main(m) }

func init() {
	register.DoFn4x2[context.Context, *sdf.LockRTracker, string, func(int), sdf.ProcessContinuation, error](&napFn{})
	register.Emitter1[int]()
}

// napFn sleeps for each case and counts who sleeps at the same time.
type napFn struct{ shard.Fn }

const nap = 200 * time.Millisecond

var asleep struct {
	sync.Mutex
	now, most int
}

func (*napFn) ProcessElement(ctx context.Context, rt *sdf.LockRTracker, cases string, emit func(int)) (sdf.ProcessContinuation, error) {
	return shard.Each(ctx, rt, cases, func(c int) error {
		asleep.Lock()
		asleep.now++
		asleep.most = max(asleep.most, asleep.now)
		asleep.Unlock()
		time.Sleep(nap)
		asleep.Lock()
		asleep.now--
		asleep.Unlock()
		emit(c)
		return nil
	})
}

func dealt(t *testing.T, n int) (texts []string, want []any) {
	t.Helper()
	var list []int
	for i := range 24 {
		list, want = append(list, i), append(want, i)
	}
	for _, s := range shard.Apart(shard.Deal(list, make([]float64, len(list)), n)) {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts, want
}

// Prism works on as many shards at once as there are, up to the eight that it can; on a
// busy machine some come back in one bundle. Without coming back it is two at once.
func TestPrismWorksOnAllShards(t *testing.T) {
	for n, least := range map[int]int{1: 1, 4: 3, 12: 6} {
		texts, want := dealt(t, n)
		asleep.most = 0
		p, s := beam.NewPipelineWithRoot()
		passert.Equals(s, beam.ParDo(s, &napFn{}, beam.Reshuffle(s, beam.CreateList(s, texts))), want...)
		if err := ptest.Run(p); err != nil {
			t.Fatal(err)
		}
		if asleep.most < least {
			t.Errorf("%d shards: at most %d cases were in work at once", n, asleep.most)
		}
		t.Logf("%d shards: up to %d cases in work at once", n, asleep.most)
	}
}

func TestNonsenseIsNoShard(t *testing.T) {
	for text, want := range map[string]string{"no JSON": "shard: decode", `{"cases":["no number"]}`: "decode case"} {
		p, s := beam.NewPipelineWithRoot()
		beam.ParDo(s, &napFn{}, beam.Create(s, text))
		if err := ptest.Run(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
