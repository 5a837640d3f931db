package pipelines

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/incoming"
	"noisystudent/transforms/manifest"
)

// Status is what a store says about the work on it.
type Status struct {
	Store     string           `json:"store"`
	Running   []RunningStatus  `json:"running"`
	Stages    []StageStatus    `json:"stages"`
	Models    []ModelStatus    `json:"models"`
	Reprocess *ReprocessStatus `json:"reprocess,omitempty"` // where it was ever used
	Refused   []Rejected       `json:"refused"`
}

// RunningStatus is a stage in work.
type RunningStatus struct {
	Running
	LeftSeconds float64 `json:"left_seconds,omitempty"` // at the pace so far
	Silent      bool    `json:"silent"`                 // the process has not been heard of for a minute
}

// StageStatus counts a stage's rows.
type StageStatus struct {
	Stage    string         `json:"stage"`
	Done     int            `json:"done"`
	Rejected map[string]int `json:"rejected"` // by reason
}

// ModelStatus is a model in training or trained.
type ModelStatus struct {
	Model   string  `json:"model"`
	Epochs  int64   `json:"epochs"`
	Done    bool    `json:"done"`
	Seconds float64 `json:"seconds"`           // of training, so far
	EMA     float64 `json:"ema_dsc,omitempty"` // see Course
	Best    int64   `json:"best,omitempty"`
	// Diverged says why training ended early.
	Diverged string `json:"diverged,omitempty"`
}

// ReprocessStatus is what the book of incoming scans says.
type ReprocessStatus struct {
	Lock    manifest.Holder `json:"lock"`
	Held    bool            `json:"held"`
	Scans   int             `json:"scans"`
	Models  map[string]int  `json:"models"` // labelled scans by folder of predictions/
	Same    int             `json:"same"`
	Waiting []string        `json:"waiting"`
	Pending []string        `json:"pending"`
	Removed []string        `json:"removed"`
}

// notStages are folders of the ledger that hold no rows of stages.
var notStages = map[string]bool{"files": true, "index": true, "models": true, "locks": true, runningStage: true, incoming.Stage: true}

// silence is after how long a process that does not beat is not believed to live.
const silence = 6 * beat

// ReadStatus reads what a store's ledger says; it changes nothing.
func ReadStatus(ctx context.Context, root string) (Status, error) {
	if root == "" {
		return Status{}, misuse("no store; give --store=DIR or gs://BUCKET/PREFIX")
	}
	st, err := store.Open(ctx, root)
	if err != nil {
		return Status{}, err
	}
	s := Status{Store: st.Root(), Running: []RunningStatus{}, Stages: []StageStatus{}, Models: []ModelStatus{}, Refused: []Rejected{}}
	return s, cmp.Or(s.running(ctx, st), s.stages(ctx, st), s.models(ctx, st), s.reprocess(ctx, st))
}

func (s *Status) running(ctx context.Context, st *store.Store) error {
	rows, err := manifest.All[Running](ctx, st, runningStage)
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		r := rows[id]
		s.Running = append(s.Running, RunningStatus{r, r.Left().Seconds(), time.Since(r.At) > silence})
	}
	return err
}

func (s *Status) stages(ctx context.Context, st *store.Store) error {
	infos, err := st.List(ctx, "ledger/")
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, i := range infos {
		if parts := strings.Split(i.Key, "/"); len(parts) == 3 && !notStages[parts[1]] {
			names[parts[1]] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		rows, err := manifest.Rows(ctx, st, name)
		if err != nil {
			return err
		}
		stage := StageStatus{Stage: name, Rejected: map[string]int{}}
		for _, id := range slices.Sorted(maps.Keys(rows)) {
			switch row := rows[id]; row.Outcome {
			case manifest.Done:
				stage.Done++
			case manifest.Rejected:
				stage.Rejected[string(row.Reason)]++
				s.Refused = append(s.Refused, row.Rejection())
			}
		}
		s.Stages = append(s.Stages, stage)
	}
	return nil
}

func (s *Status) models(ctx context.Context, st *store.Store) error {
	infos, err := st.List(ctx, "models/")
	if err != nil {
		return err
	}
	for _, i := range infos {
		folder, name := path.Split(i.Key)
		folder = strings.TrimSuffix(folder, "/")
		if name != "latest" && name != fit.DivergedFile || slices.ContainsFunc(s.Models, func(m ModelStatus) bool { return "models/"+m.Model == folder }) {
			continue
		}
		latest, _, err := fit.ReadLatest(ctx, st, folder)
		if err != nil {
			return err
		}
		m := ModelStatus{Model: strings.TrimPrefix(folder, "models/"), Epochs: latest.Epochs, Done: latest.Done}
		if history, err := fit.History(ctx, st, folder); err == nil { // a checkpoint that is being replaced is no error here
			for _, e := range history {
				m.Seconds += e.Seconds
			}
			m.EMA, m.Best = fit.Best(history)
		}
		if d, err := fit.Diverged(ctx, st, folder, latest.Inputs); err != nil {
			return err
		} else if d != nil {
			m.Diverged = d.Error()
		}
		s.Models = append(s.Models, m)
	}
	return nil
}

func (s *Status) reprocess(ctx context.Context, st *store.Store) error {
	rows, err := incoming.Rows(ctx, st)
	if err != nil {
		return err
	}
	lock, err := manifest.HolderOf(ctx, st, lockName)
	if err != nil || lock.Owner == "" && len(rows) == 0 {
		return err
	}
	r := &ReprocessStatus{Lock: lock, Held: !lock.Released && time.Now().Before(lock.Expires), Models: map[string]int{}, Waiting: []string{}, Pending: []string{}, Removed: []string{}}
	s.Reprocess = r
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		row := rows[id]
		if row.Removed {
			r.Removed = append(r.Removed, id)
			continue
		}
		r.Scans++
		if row.Same != "" {
			r.Same++
		}
		switch row.Outcome {
		case incoming.Waiting:
			r.Waiting = append(r.Waiting, id)
		case incoming.Pending:
			r.Pending = append(r.Pending, id)
		case manifest.Done:
			r.Models[row.Model[:min(12, len(row.Model))]]++
		case manifest.Rejected:
			known := func(x Rejected) bool { return x.Case == id && x.Reason == row.Reason }
			if !slices.ContainsFunc(s.Refused, known) {
				s.Refused = append(s.Refused, row.Rejection())
			}
		}
	}
	return nil
}

// String is the status for people.
func (s Status) String() string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("store %s", s.Store)
	if len(s.Running)+len(s.Stages)+len(s.Models) == 0 && s.Reprocess == nil {
		line("nothing was done here yet")
	}
	for _, r := range s.Running {
		line("running   %s", r)
	}
	for _, x := range s.Stages {
		line("stage     %-24s %d done%s", x.Stage, x.Done, reasons(x.Rejected))
	}
	for _, m := range s.Models {
		state := "in training"
		switch {
		case m.Done:
			state = "trained"
		case m.Diverged != "":
			state = "diverged"
		}
		line("model     %-24s %d epochs, %s, %s%s", m.Model, m.Epochs, state, seconds(m.Seconds), Course{EMA: m.EMA, Best: m.Best}.pseudo())
		if m.Diverged != "" {
			line("          %s", m.Diverged)
		}
	}
	if s.Reprocess != nil {
		b.WriteString(s.Reprocess.String())
	}
	for _, x := range s.Refused {
		line("refused   %s (%s): %s", x.Case, x.Stage, x.Message)
	}
	return b.String()
}

func (r RunningStatus) String() string {
	text := fmt.Sprintf("%s: %d of %d %ss, on %s since %s", r.Stage, r.Done, r.Total, r.Unit, r.Host, r.Began.Local().Format(time.DateTime))
	switch {
	case r.Silent:
		return text + fmt.Sprintf("; not heard of for %s: it was killed, or its host is away", seconds(time.Since(r.At).Seconds()))
	case r.LeftSeconds > 0:
		return text + ", " + seconds(r.LeftSeconds) + " left"
	}
	return text
}

func (r ReprocessStatus) String() string {
	done := 0
	for _, n := range r.Models {
		done += n
	}
	text := fmt.Sprintf("reprocess %d scans, %d labelled", r.Scans, done)
	if r.Same > 0 {
		text += fmt.Sprintf(" (%d under another name)", r.Same)
	}
	for _, x := range []struct {
		what string
		ids  []string
	}{{"still being written", r.Waiting}, {"to be labelled", r.Pending}, {"removed, labels kept", r.Removed}} {
		if len(x.ids) > 0 {
			text += fmt.Sprintf(", %d %s", len(x.ids), x.what)
		}
	}
	if r.Held {
		text += fmt.Sprintf("; %s is at work since %s", r.Lock.Name(), r.Lock.Since.Local().Format(time.DateTime))
	}
	for _, folder := range slices.Sorted(maps.Keys(r.Models)) {
		text += fmt.Sprintf("\n          predictions/%s: %d", folder, r.Models[folder])
	}
	return text + "\n"
}

func reasons(rejected map[string]int) string {
	var list []string
	n := 0
	for _, reason := range slices.Sorted(maps.Keys(rejected)) {
		n += rejected[reason]
		list = append(list, fmt.Sprintf("%s %d", reason, rejected[reason]))
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d rejected (%s)", n, strings.Join(list, ", "))
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
