package pipelines

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/pseudo"
	"noisystudent/transforms/report"
	"noisystudent/transforms/score"
)

// pageKey is where the page of a store, or of an experiment, lies.
const pageKey = "report/index.html"

// writePage writes what people look at. A page that is there stays where nothing that it tells has
// changed, for to draw it costs some reading.
func (r *run) writePage(ctx context.Context, st *store.Store, key string, changed bool, page func() (report.Page, error)) error {
	_, err := st.Stat(ctx, key)
	if err == nil && !changed {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p, err := page()
	if err != nil {
		return err
	}
	html, err := p.HTML(ctx)
	if err != nil {
		return err
	}
	if err := st.Write(ctx, key, html); err != nil {
		return err
	}
	r.progress.Note("to look at: " + st.Address(key))
	return nil
}

// renewed is writeJSON, and reports whether the file said something else before.
func renewed(ctx context.Context, st *store.Store, key string, v any) (bool, error) {
	before, _ := st.Read(ctx, key) // none is as good as another
	if err := writeJSON(ctx, st, key, v); err != nil {
		return false, err
	}
	after, err := st.Read(ctx, key)
	return !bytes.Equal(before, after), err
}

// loopPage is the page of the whole method.
func (r *run) loopPage(ctx context.Context, found Report, commands ...string) (p report.Page, err error) {
	p = report.Page{
		Title: "noisystudent: " + r.dataset.Name, Organs: r.plan.Labels, Commands: commands,
		Text:  fmt.Sprintf("%d test cases, %d pseudo-labels kept, %d dropped", found.Cases, found.Pseudo.Kept, found.Pseudo.Dropped),
		Shown: "fine-tuned", Scans: map[string]string{}, Rejected: found.Rejected, BudgetBytes: r.memory(),
	}
	for _, note := range []string{found.Note, skippedText(found.Training)} {
		if note != "" {
			p.Notes = append(p.Notes, note)
		}
	}
	list := r.testCases()
	if len(list) == 0 {
		p.Notes = append(p.Notes, "There are no test cases with labels: nothing was scored.")
	} else {
		p.Columns = found.columns()
		if p.Rows, err = r.rowsOf(ctx, "test_"+string(fit.Finetuned), list); err != nil {
			return p, err
		}
	}
	for _, c := range list {
		p.Scans[c.ID] = c.Image
	}
	if len(p.Rows) > 0 {
		p.Commands = append(p.Commands, viewLine(folderOf(list[0].Image), p.Rows[0]))
	}
	if p.Courses, err = r.histories(ctx, found.Training); err != nil {
		return p, err
	}
	return p, r.showDoubts(ctx, &p)
}

// doubtedShown is how many pseudo-labelled cases a page shows.
const doubtedShown = 3

// showDoubts puts the cases of the last round on a page whose teachers agree least. Where nobody asked for
// doubts, it asks for those about the least confident.
func (r *run) showDoubts(ctx context.Context, p *report.Page) error {
	list, notes, err := r.leastConfident(ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	if !r.asksDoubts() {
		if list, err = r.doubt(ctx, list[:min(doubtedShown, len(list))]); err != nil {
			return err
		}
	}
	for _, c := range list {
		d, err := r.doubted(ctx, c, notes[c.ID])
		if err != nil {
			return err
		}
		p.Doubted, p.Scans[c.ID] = append(p.Doubted, d), c.Image
	}
	agreed := func(d report.Doubted) (mean float64) {
		for _, l := range p.Organs {
			if part := d.Agreement[l.Name]; part != nil {
				mean += *part / float64(len(d.Agreement))
			}
		}
		return mean
	}
	slices.SortStableFunc(p.Doubted, func(a, b report.Doubted) int { return cmp.Compare(agreed(a), agreed(b)) })
	p.Doubted = p.Doubted[:min(doubtedShown, len(p.Doubted))]
	return nil
}

// leastConfident are the cases of the last round in which a teacher sees anything, the least confident first,
// with what is noted of them.
func (r *run) leastConfident(ctx context.Context) (list []cases.Case, notes map[string]pseudo.Note, err error) {
	notes = map[string]pseudo.Note{}
	for _, c := range r.voted.good {
		n, err := pseudo.ReadNote(ctx, r.store, r.voted.round, c.ID)
		if err != nil {
			return nil, nil, err
		}
		if n.Confidence > 0 {
			notes[c.ID] = n
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b cases.Case) int {
		return cmp.Or(cmp.Compare(notes[a.ID].Confidence, notes[b.ID].Confidence), cmp.Compare(a.ID, b.ID))
	})
	return list, notes, nil
}

// doubted is a case with what its teachers agree in.
func (r *run) doubted(ctx context.Context, c cases.Case, n pseudo.Note) (out report.Doubted, err error) {
	round := r.voted.round
	d, err := pseudo.ReadDoubts(ctx, r.store, round, c.ID)
	if err != nil {
		return out, err
	}
	out = report.Doubted{Case: c.ID, Labels: r.store.Address(pseudo.FileKey(round, c.ID)), Agreement: map[string]*float64{}}
	for _, l := range r.plan.Labels {
		if n.Voxels[l.ID] > 0 || d.Agreement[l.ID] < 1 {
			out.Agreement[l.Name] = &d.Agreement[l.ID]
		}
	}
	_, prepared := r.preparedOf([]cases.Case{c})
	out.Doubt = func(ctx context.Context) (*volume.Labels, error) {
		return pseudo.ReadMap(ctx, r.store, round, prepared[0])
	}
	return out, nil
}

// histories are the epochs of models, for their curves.
func (r *run) histories(ctx context.Context, list []Course) (out []report.Course, err error) {
	for _, c := range list {
		history, err := fit.History(ctx, r.store, fit.Folder(c.Role, c.Fold))
		if err != nil {
			return nil, err
		}
		out = append(out, report.Course{Role: string(c.Role), Fold: c.Fold, History: history})
	}
	return out, nil
}

// columns are the models of the table, in its order.
func (r Report) columns() (out []report.Column) {
	names, columns := r.contenders()
	for i, s := range columns {
		c := report.Column{Name: names[i], Mean: score.Mean{DSC: s.DSC, NSD: s.NSD}, Organs: map[string]*score.Mean{}}
		for name, o := range s.PerOrgan {
			c.Organs[name] = &score.Mean{DSC: o.DSC, NSD: o.NSD}
		}
		out = append(out, c)
	}
	return out
}

// scoresPage is the page of one scoring.
func (r *run) scoresPage(ctx context.Context, c score.Config, t score.Table, pairs []score.Pair, commands ...string) (p report.Page, err error) {
	p = report.Page{
		Title: "noisystudent " + c.Name, Organs: c.Options.Labels, Commands: commands, Shown: string(t.Rules) + " rules",
		Scans: map[string]string{}, Rejected: r.refused, BudgetBytes: r.memory(),
	}
	column := report.Column{Name: p.Shown, Mean: t.Mean, Organs: map[string]*score.Mean{}}
	for _, l := range t.Lines {
		if l.Cases > 0 {
			column.Organs[l.Name] = &l.Mean
		}
	}
	p.Columns = []report.Column{column}
	if len(t.Absent) > 0 {
		p.Notes = append(p.Notes, "In no reference, whatever the rules give for them: "+strings.Join(t.Absent, ", ")+".")
	}
	list := make([]cases.Case, len(pairs))
	for i, pair := range pairs {
		list[i] = cases.Case{ID: pair.Case}
	}
	if p.Rows, err = r.rowsOf(ctx, c.Name, list); err != nil || len(p.Rows) == 0 {
		return p, err
	}
	folder := imagesBeside(folderOf(p.Rows[0].Reference))
	scans, _, err := cases.Scans(ctx, folder)
	if store.Systemic(err) {
		return p, err
	}
	for _, s := range scans { // none, where the references do not lie in a dataset: outlines on black
		p.Scans[s.ID] = s.Image
	}
	if len(scans) > 0 {
		p.Commands = append(p.Commands, viewLine(folder, p.Rows[0]))
	}
	return p, nil
}

// rowsOf are the scores of the cases that have some.
func (r *run) rowsOf(ctx context.Context, name string, list []cases.Case) (rows []score.Row, err error) {
	for _, c := range list {
		var row score.Row
		found, err := r.readJSON(ctx, path.Join("scores", name, c.ID+".json"), &row)
		if err != nil {
			return nil, err
		}
		if found && len(row.Organs) > 0 {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// folderOf is where a file lies; path.Dir would make one slash of the two of gs://.
func folderOf(address string) string {
	folder, _ := path.Split(address)
	return strings.TrimSuffix(folder, "/")
}

// imagesBeside is where a dataset has the scans of a folder of labels.
func imagesBeside(labels string) string {
	folder, name := path.Split(labels)
	return folder + strings.Replace(name, "labels", "images", 1)
}

// viewLine is the command that shows a scored case and those beside it.
func viewLine(scans string, r score.Row) string {
	return commandLine("view", "input", scans, "labels", folderOf(r.Prediction), "references", folderOf(r.Reference))
}

// commandLine is a command line: a command and pairs of flag and value, of which empty ones are left out.
func commandLine(command string, flags ...string) string {
	text := "noisystudent " + command
	for i := 0; i < len(flags); i += 2 {
		if flags[i+1] != "" {
			text += " --" + flags[i] + " " + Quoted(flags[i+1])
		}
	}
	return text
}

// Quoted writes a word as a shell reads it.
func Quoted(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\n'\"$*?[]{}()&|;<>\\`#~!") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// loopLine is the command that runs the method with these options again.
func (o Options) loopLine() string {
	text := commandLine("loop", "dataset", o.Dataset, "store", o.Store, "unlabelled-scans", o.UnlabelledPool, "preset", o.Preset, "precision", o.Precision)
	for _, s := range o.Set {
		text += " --set " + Quoted(s)
	}
	if o.Seed != 0 {
		text += " --seed " + strconv.FormatUint(o.Seed, 10)
	}
	return text
}
