package command

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
)

// work is what a command has done: its result and the cases that it refused.
type work func(context.Context, pipelines.Options) (fmt.Stringer, []pipelines.Rejected, error)

// pipeline makes a command of work that takes the flags' options.
func (c *session) pipeline(do work) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		o, err := c.options(cmd)
		if err != nil {
			return err
		}
		result, rejected, err := do(cmd.Context(), o)
		if err != nil {
			return err
		}
		return c.finish(result, rejected)
	}
}

// show prints a result as JSON where that was asked for, else as text, with the
// cases that were rejected.
func (c *session) show(result fmt.Stringer, rejected []pipelines.Rejected) error {
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetIndent("", " ")
		if err := e.Encode(result); err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
		return nil
	}
	text := strings.TrimRight(result.String(), "\n")
	if len(rejected) > 0 {
		text += fmt.Sprintf("\n%d rejected:", len(rejected))
	}
	for _, x := range rejected {
		text += fmt.Sprintf("\n  %s (%s): %s", x.Case, x.Stage, x.Message)
	}
	if _, err := fmt.Fprintln(c.out, text); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// finish shows a result and turns rejected cases into the exit code.
func (c *session) finish(result fmt.Stringer, rejected []pipelines.Rejected) error {
	if err := c.show(result, rejected); err != nil {
		return err
	}
	if len(rejected) > 0 {
		c.rejected = len(rejected)
		return errRejected
	}
	return nil
}
