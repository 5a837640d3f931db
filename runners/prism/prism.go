// Package prism runs pipelines with Beam's local runner inside this process: no
// download, no service, DoFns share the process's devices and caches.
package prism

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
)

// Run executes a pipeline and waits for its end.
func Run(ctx context.Context, p *beam.Pipeline) error {
	if _, err := prism.Execute(ctx, p); err != nil {
		return fmt.Errorf("prism: %w", err)
	}
	return nil
}
