package command

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"noisystudent/pipelines"
	"noisystudent/transforms/metrics"
)

// begin readies what a command shows of its work while it runs. c.end undoes it.
func (c *session) begin(cmd *cobra.Command) error {
	c.command, c.began = cmd.Name(), time.Now()
	metrics.Reset()
	switch c.logFormat {
	case "text":
	case "json":
		if c.verbose {
			return usageError{fmt.Errorf("--verbose and --log-format json exclude each other: Beam's log names files")}
		}
		c.events = slog.New(slog.NewJSONHandler(c.log, nil))
	default:
		return usageError{fmt.Errorf("--log-format %q; use text or json", c.logFormat)}
	}
	metrics.SetLog(c.events)
	if c.metricsAddr == "" {
		return nil
	}
	at, stop, err := serveMetrics(c.metricsAddr)
	switch {
	case err == nil:
		c.stop = stop
		c.tell("metrics", "address", "http://"+at+"/metrics")
	case taken(err):
		c.tell("no metrics: the address is taken", "address", c.metricsAddr)
	default:
		return usageError{err}
	}
	return nil
}

func (c *session) end() {
	if c.stop != nil {
		c.stop()
	}
	metrics.SetLog(nil)
}

// tell logs a line about the process.
func (c *session) tell(what, name, value string) {
	if c.events != nil {
		c.events.Info(what, name, value)
		return
	}
	fmt.Fprintf(c.log, "%s: %s\n", what, value)
}

// outcomes are what exit codes are called.
var outcomes = map[int]string{Done: "done", Failed: "failed", Usage: "wrong usage", Rejected: "done, but cases were rejected", Interrupted: "interrupted"}

// summarise says in one line how a command ended.
func (c *session) summarise(code int) {
	if c.command == "" || code == Usage {
		return // nothing was begun
	}
	took := time.Since(c.began)
	if c.events != nil {
		c.events.Info("summary", "command", c.command, "outcome", outcomes[code], "exit", code, "seconds", took.Seconds(), "rejected", c.rejected, "stages", stageTotals())
		return
	}
	outcome := outcomes[code]
	if code == Rejected {
		outcome = fmt.Sprintf("done, but %d cases were rejected", c.rejected)
	}
	text := fmt.Sprintf("noisystudent %s: %s, %s", c.command, outcome, took.Round(10*time.Millisecond))
	for _, t := range stageTotals() {
		text += "; " + t.String()
	}
	fmt.Fprintln(c.log, text)
}

// stageTotal is what a summary says of a stage.
type stageTotal struct {
	Stage    string           `json:"stage"`
	Done     int64            `json:"done"`
	Standing int64            `json:"standing"`
	Rejected map[string]int64 `json:"rejected,omitempty"`
	Forwards int64            `json:"forwards"`
	Epochs   int64            `json:"epochs,omitempty"`
}

func stageTotals() (list []stageTotal) {
	for _, t := range metrics.Totals() {
		list = append(list, stageTotal{t.Stage, t.Done, t.Standing, t.Rejected, t.Forwards, t.Epochs})
	}
	return list
}

// String leaves out what is 0.
func (t stageTotal) String() string {
	var words []string
	refused := int64(0)
	for _, n := range t.Rejected {
		refused += n
	}
	for _, x := range []struct {
		n    int64
		what string
	}{{t.Done, "done"}, {t.Standing, "as before"}, {refused, "rejected"}, {t.Forwards, "forwards"}, {t.Epochs, "epochs"}} {
		if x.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	if len(words) == 0 {
		words = []string{"nothing"}
	}
	return t.Stage + " " + strings.Join(words, ", ")
}

// complain prints an error with what to do about it.
func (c *session) complain(root *cobra.Command, args []string, err error, code int) {
	if c.events != nil {
		c.events.Error("failed", "command", c.command, "error", discreet(err.Error()+remedy(err)))
		return
	}
	fmt.Fprintf(c.log, "noisystudent: %v%s\n", err, remedy(err))
	if code != Usage {
		return
	}
	hint := root
	if cmd, _, err := root.Find(args); err == nil {
		hint = cmd
	}
	fmt.Fprintf(c.log, "Run '%s --help' for usage.\n", hint.CommandPath())
}

// discreet leaves out those parts of an error that may name a patient's file.
func discreet(text string) string {
	parts := strings.Split(text, ": ")
	for i, p := range parts {
		if strings.ContainsAny(p, `/\`) || strings.Contains(p, ".nii") {
			parts[i] = "…"
		}
	}
	return strings.Join(parts, ": ")
}

// events is the Progress of --log-format json. It drops the notes, which are free text
// and may name files.
type events struct{ log *slog.Logger }

func (e events) Note(string) {}

func (e events) Stage(name string, total int64, unit string) pipelines.Meter {
	e.log.Info("stage begins", "stage", name, "total", total, "unit", unit)
	return &eventMeter{log: e.log, name: name, total: total, start: time.Now(), told: time.Now()}
}

type eventMeter struct {
	log         *slog.Logger
	name        string
	total, done int64
	start, told time.Time
}

func (m *eventMeter) At(done int64, _ string) {
	if m.done = done; time.Since(m.told) >= logEvery {
		m.told = time.Now()
		m.log.Info("progress", "stage", m.name, "done", done, "total", m.total)
	}
}

func (m *eventMeter) End(string) {
	m.log.Info("stage ends", "stage", m.name, "done", m.done, "total", m.total, "seconds", time.Since(m.start).Seconds())
}
