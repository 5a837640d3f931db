// Package prism runs pipelines with Beam's local runner inside this process: no
// download, no service, DoFns share the process's devices and caches.
package prism

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
)

// Run executes a pipeline and waits for its end.
func Run(ctx context.Context, p *beam.Pipeline) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("prism: %w", err)
	}
	leave, err := process.enter()
	if err != nil {
		return fmt.Errorf("prism: %w", err)
	}
	defer leave()
	if _, err := prism.Execute(ctx, p); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("prism: %w", ctx.Err())
		}
		return fmt.Errorf("prism: %w", err)
	}
	return nil
}

// scratch is where the process's pipelines put temporary files. Beam 2.77 leaves an
// empty file behind for each pipeline (runnerlib.Execute), in the folder that TMPDIR
// names: it gets a folder of its own, which goes with the last pipeline at work.
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
	os.RemoveAll(s.folder)
}
