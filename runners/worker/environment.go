package worker

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/util/hooks"
)

// environmentHook carries environment variables to workers, in the options of their job.
const environmentHook = "noisystudent:environment"

func init() {
	hooks.RegisterHook(environmentHook, func(args []string) hooks.Hook {
		return hooks.Hook{Init: func(ctx context.Context) (context.Context, error) { return ctx, setAll(args) }}
	})
}

// Environment sets variables, each NAME=value, of this process and of the worker
// processes of the jobs that it submits; those without a value are left as they are.
func Environment(variables ...string) error {
	var given []string
	for _, v := range variables {
		if _, value, _ := strings.Cut(v, "="); value != "" {
			given = append(given, v)
		}
	}
	if len(given) == 0 {
		hooks.DisableHook(environmentHook)
		return nil
	}
	if err := setAll(given); err != nil {
		return err
	}
	return hooks.EnableHook(environmentHook, given...)
}

func setAll(variables []string) error {
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("worker: set %s: %w", name, err)
		}
	}
	return nil
}
