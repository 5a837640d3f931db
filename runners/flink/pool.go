package flink

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/extworker"
)

// Pool runs DoFns in this process for jobs that ask for it: the EXTERNAL environment.
// It listens on this machine only, so every worker host needs its own.
type Pool struct {
	ctx    context.Context
	server *extworker.Loopback
}

// OpenPool starts a pool on a port; 0 chooses one.
func OpenPool(ctx context.Context, port int) (*Pool, error) {
	server, err := extworker.StartLoopback(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("flink: open worker pool: %w; name another --port", err)
	}
	return &Pool{ctx, server}, nil
}

// Address is HOST:PORT for --environment-config.
func (p *Pool) Address() string { return p.server.EnvironmentConfig(p.ctx) }

// Close ends the workers.
func (p *Pool) Close() error { return p.server.Stop(p.ctx) }
