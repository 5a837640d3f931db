// Package prism runs pipelines with Beam's local runner inside this process: no
// download, no service, DoFns share the process's devices and caches.
package prism

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
)

// starting is how long a pipeline is left alone: Beam 2.77 panics where a worker is
// stopped while it is being started (externalEnvironment).
const starting = 2 * time.Second

// ending is how long an interrupted pipeline may take to let go of its DoFns.
const ending = 2 * time.Second

// Run executes a pipeline and waits for its end. Once ctx is done the pipeline is
// cut off, and what it was doing goes on for some seconds at most.
func Run(ctx context.Context, p *beam.Pipeline) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("prism: %w", err)
	}
	leave, err := process.enter()
	if err != nil {
		return fmt.Errorf("prism: %w", err)
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	started, done := time.Now(), make(chan error, 1)
	go func() {
		defer leave()
		defer stop()
		_, err := prism.Execute(work, p)
		done <- err
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

// scratch is where the process's pipelines put temporary files. Beam 2.77 leaves an
// empty file behind for each pipeline (runnerlib.Execute), in the folder that TMPDIR
// names: it gets a folder of its own, which is tidied after the last pipeline at
// work. Files of anybody else who used the folder meanwhile stay; so does Beam's where
// the process ends in the midst of it.
type scratch struct {
	mu      sync.Mutex
	running int
	folder  string
	tmpdir  string // TMPDIR as it was
	had     bool
}

var process scratch

func (s *scratch) enter() (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == 0 {
		if s.folder, err = os.MkdirTemp("", "noisystudent-"); err != nil {
			return nil, err
		}
		s.tmpdir, s.had = os.LookupEnv("TMPDIR")
		os.Setenv("TMPDIR", s.folder)
	}
	s.running++
	return s.leave, nil
}

func (s *scratch) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running--; s.running > 0 {
		return
	}
	if s.had {
		os.Setenv("TMPDIR", s.tmpdir)
	} else {
		os.Unsetenv("TMPDIR")
	}
	left, _ := filepath.Glob(filepath.Join(s.folder, "beamloopbackworker-*"))
	for _, file := range left {
		os.Remove(file)
	}
	os.Remove(s.folder) // if it is empty
}
