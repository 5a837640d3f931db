package worker

import (
	"context"
	"fmt"
	"runtime"
	"strconv"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/util/hooks"
)

// threadsHook carries a number of threads to workers, in the options of their job.
const threadsHook = "noisystudent:threads"

func init() {
	hooks.RegisterHook(threadsHook, func(args []string) hooks.Hook {
		return hooks.Hook{Init: func(ctx context.Context) (context.Context, error) {
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return ctx, fmt.Errorf("worker: threads: %w", err)
			}
			runtime.GOMAXPROCS(n)
			return ctx, nil
		}}
	})
}

// Threads lets this process, and the worker processes of the jobs that it submits,
// run Go code on n threads at once; 0 leaves both as they are.
func Threads(n int) error {
	if n == 0 {
		hooks.DisableHook(threadsHook)
		return nil
	}
	runtime.GOMAXPROCS(n)
	return hooks.EnableHook(threadsHook, strconv.Itoa(n))
}
