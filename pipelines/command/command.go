// Package command is the command line: flags, help, progress and exit codes.
// What a command does is in package pipelines.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
	"noisystudent/runners/dataflow"
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
	c := &session{out: out, log: log}
	root := newRoot(c)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	defer c.end()
	var dry *dataflow.DryRun
	if errors.As(err, &dry) {
		fmt.Fprintln(out, dry.Job)
		fmt.Fprintf(log, "noisystudent: %v\n", dry)
	}
	code := exitCode(ctx, err)
	c.summarise(code)
	if code == Failed || code == Usage { // what is wrong comes last
		c.complain(root, args, err, code)
	}
	return code
}

func exitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return Done
	case errors.Is(err, errRejected):
		return Rejected
	case errors.As(err, new(*dataflow.DryRun)):
		return Done
	case ctx.Err() != nil:
		return Interrupted
	case isUsage(err):
		return Usage
	}
	return Failed
}

// remedy says what to do where the operating system had the last word: whatever was
// being read or written then, the error ends with it.
func remedy(err error) string {
	for _, r := range []struct{ cause, remedy string }{
		{"no space left on device", "make room, or name another place"},
		{"disk quota exceeded", "make room, or name another place"},
		{"permission denied", "give this user the right to it, or name another place"},
		{"read-only file system", "name another place"},
	} {
		if strings.HasSuffix(err.Error(), r.cause) {
			return "; " + r.remedy
		}
	}
	return ""
}

func isUsage(err error) bool {
	var ours usageError
	var theirs *pipelines.UsageError
	if errors.As(err, &ours) || errors.As(err, &theirs) {
		return true
	}
	// Cobra returns plain errors for a command line that it refuses.
	for _, text := range []string{"unknown command", "required flag"} {
		if strings.HasPrefix(err.Error(), text) {
			return true
		}
	}
	return false
}

// Interruption is what a person reads after Ctrl-C: how to go on. args is the whole
// command line.
func Interruption(args []string) string {
	if logsJSON(args) {
		return `{"level":"WARN","msg":"stopping; what is finished is kept, and the same command goes on"}`
	}
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = pipelines.Quoted(a)
	}
	if len(args) > 0 && strings.Contains(filepath.ToSlash(args[0]), "/go-build") && strings.HasPrefix(args[0], os.TempDir()) {
		words[0] = "go run ." // the program that `go run` has made is gone by then
	}
	return "\nStopping; what is finished is kept and nothing is half-written. The same command goes on:\n  " + strings.Join(words, " ") +
		"\nPress Ctrl-C again to stop at once."
}

// logsJSON reports whether a command line asks for a log of JSON.
func logsJSON(args []string) bool {
	for i, a := range args {
		if a == "--log-format=json" || i > 0 && a == "json" && args[i-1] == "--log-format" {
			return true
		}
	}
	return false
}

// newRoot builds the tree of commands.
func newRoot(c *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "noisystudent",
		Short: "Semi-supervised organ segmentation of CT: teachers, pseudo-labels, noisy student",
		Long: `noisystudent turns a folder of CT scans, a few of them labelled, into a segmentation
model: five teachers label the unlabelled scans, a student learns from both.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but cases were rejected,
130 interrupted.`,
		Example:       "  noisystudent demo\n  noisystudent loop --dataset Dataset022_FLARE22 --store store",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(c.out)
	root.SetErr(c.log)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetVersionTemplate("{{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		demoCommand(c), loopCommand(c), phantomCommand(c), planCommand(c), preprocessCommand(c), trainCommand(c),
		pseudolabelCommand(c), predictCommand(c), evaluateCommand(c), efficiencyCommand(c), statisticsCommand(c), viewCommand(c), reprocessCommand(c), scheduleCommand(c, root), statusCommand(c),
		experimentCommand(c), flinkCommand(c), doctorCommand(c), beamHelp(),
	)
	root.SetHelpCommand(helpCommand(root))
	return root
}

// helpCommand is `help COMMAND`; cobra's own succeeds for commands that are not there.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]",
		Short:   "Help about a command, or about beam",
		Example: "  noisystudent help train\n  noisystudent help beam",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("no help about %q", strings.Join(args, " "))}
			}
			cmd.InitDefaultHelpFlag()
			cmd.InitDefaultVersionFlag()
			return cmd.Help()
		},
	}
}
