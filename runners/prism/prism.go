// Package prism runs pipelines with Beam's local runner inside this process: no
// download, no service, DoFns share the process's devices and caches.
package prism

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"

	"noisystudent/runners/portable"
)

// starting is how long a pipeline is left alone: Beam 2.77 panics where a worker is
// stopped while it is being started (externalEnvironment).
const starting = 2 * time.Second

// ending is how long an interrupted pipeline may take to let go of its DoFns.
const ending = 2 * time.Second

// server is the one of this process, which all of its pipelines share.
var server = sync.OnceValues(func() (jobpb.JobServiceClient, error) {
	return prism.CreateJobServer(context.Background(), prism.Options{})
})

// submitted counts the pipelines of this process, for their names.
var submitted atomic.Int64

// Run executes a pipeline and waits for its end. Once ctx is done the pipeline is
// cut off, and what it was doing goes on for some seconds at most.
func Run(ctx context.Context, p *beam.Pipeline) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("prism: %w", err)
	}
	client, err := server()
	if err != nil {
		return fmt.Errorf("prism: %w", err)
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	started, done := time.Now(), make(chan error, 1)
	go func() {
		defer stop()
		done <- portable.Run(work, client, p, portable.Job{Name: fmt.Sprintf("noisystudent-%d-%d", os.Getpid(), submitted.Add(1))})
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("prism: %w", err)
		}
		return nil
	case <-ctx.Done():
	}
	if young := starting - time.Since(started); young > 0 {
		time.AfterFunc(young, stop)
	} else {
		stop()
		select {
		case <-done:
		case <-time.After(ending):
		}
	}
	return fmt.Errorf("prism: %w", ctx.Err())
}
