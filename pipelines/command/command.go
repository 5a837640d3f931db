// Package command is the command line: flags, help, progress and exit codes.
// What a command does is in package pipelines.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
)

// Exit codes.
const (
	Done        = 0
	Failed      = 1
	Usage       = 2
	Rejected    = 3 // finished, but cases were rejected
	Interrupted = 130
)

// errRejected ends a command that finished with rejected cases.
var errRejected = errors.New("cases were rejected")

// usageError is a command line that cannot be meant.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// Main runs a command line and returns its exit code.
func Main(ctx context.Context, args []string, out, log io.Writer) int {
	root := newRoot(out, log)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return Done
	case errors.Is(err, errRejected):
		return Rejected
	case ctx.Err() != nil:
		return Interrupted
	case errors.As(err, &usage) || isCobraUsage(err):
		fmt.Fprintf(log, "noisystudent: %v\nRun 'noisystudent %s --help' for usage.\n", err, firstWord(args))
		return Usage
	}
	fmt.Fprintf(log, "noisystudent: %v\n", err)
	return Failed
}

// Cobra returns plain errors for a command line that it refuses.
func isCobraUsage(err error) bool {
	for _, text := range []string{"unknown command", "required flag"} {
		if strings.HasPrefix(err.Error(), text) {
			return true
		}
	}
	return false
}

func firstWord(args []string) string {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return ""
	}
	return args[0]
}

// Interruption is what a person reads after Ctrl-C: how to go on.
func Interruption(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if strings.ContainsAny(a, " '\"$*?[]{}()&|;<>\\`") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return "\nStopping; what is finished is kept and nothing is half-written. The same command goes on:\n  " + strings.Join(quoted, " ") +
		"\nPress Ctrl-C again to stop at once."
}

// newRoot builds the tree of commands.
func newRoot(out, log io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "noisystudent",
		Short: "Semi-supervised organ segmentation of CT: teachers, pseudo-labels, noisy student",
		Long: `noisystudent turns a folder of CT scans, a few of them labelled, into a segmentation
model: five teachers label the unlabelled scans, a student learns from both.

Start with:  noisystudent demo`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(out)
	root.SetErr(log)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetVersionTemplate("{{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	c := &session{out: out, log: log}
	root.AddCommand(
		demoCommand(c), loopCommand(c), phantomCommand(c), planCommand(c), preprocessCommand(c), trainCommand(c),
		pseudolabelCommand(c), predictCommand(c), evaluateCommand(c), doctorCommand(c), beamHelp(),
	)
	return root
}

// finish reports what a pipeline refused and turns it into the exit code.
func finish(log io.Writer, r []pipelines.Rejected) error {
	if len(r) == 0 {
		return nil
	}
	fmt.Fprintf(log, "%d rejected:\n", len(r))
	for _, x := range r {
		fmt.Fprintf(log, "  %s (%s, %s): %s\n", x.Case, x.Stage, x.Reason, x.Message)
	}
	return errRejected
}
