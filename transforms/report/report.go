// Package report writes what people look at once a run has ended: one HTML file with tables, curves,
// box plots and slices with outlines, which needs nothing but itself.
//
// Pictures are PNG inside the file. Equal input gives equal bytes: times and machines are not told. Of a
// patient it shows the case's id and slices, nothing that a header says.
package report

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image/color"
	"path"
	"strings"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/score"
)

// Page is what a report tells; what is empty is left out.
type Page struct {
	Title    string
	Notes    []string // what a reader must know first, a paragraph each
	Commands []string // that make the same again
	Text     string   // tables as they are printed
	Organs   []cases.Label
	Columns  []Column
	// Rows are the scores, case by case, of the column Shown: they are drawn, and those of the best, the
	// median and the worst case with slices.
	Shown    string
	Rows     []score.Row
	Scans    map[string]string // addresses by case; one without is drawn on black
	Courses  []Course
	Doubted  []Doubted
	Rejected []cases.Rejected
	// BudgetBytes is the memory for the case that is drawn; 0: memory.Budget.
	BudgetBytes int64
}

// Column is a model in the table. An organ without a score has none.
type Column struct {
	Name   string
	Mean   score.Mean
	Organs map[string]*score.Mean
}

// Course is the training of a model.
type Course struct {
	Role    string // of several folds; they share a plot
	Fold    int
	History []fit.Epoch
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"percent":  func(x float64) string { return fmt.Sprintf("%.1f", 100*x) },
	"colour":   func(class int) template.CSS { return css(Colour(class)) },
	"doubtful": func() template.CSS { return css(doubtful(color.RGBA{}, 255)) },
	"png": func(data []byte) template.URL {
		return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(data))
	},
	// Folders are the business of who ran it.
	"message": func(x cases.Rejected) string { return strings.ReplaceAll(x.Message, x.File, path.Base(x.File)) },
}).Parse(pageText))

func css(c color.RGBA) template.CSS {
	return template.CSS(fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B))
}

// figure is a picture with what is below it.
type figure struct {
	PNG     []byte
	Caption string
}

// HTML draws the page. A case that cannot be read is named in place of its slices.
func (p Page) HTML(ctx context.Context) ([]byte, error) {
	view := struct {
		Page
		Curves, Boxes []figure
		Cases, Doubts []figure
	}{Page: p}
	var err error
	if view.Curves, err = curves(p.Courses); err != nil {
		return nil, err
	}
	if view.Boxes, err = boxes(p.Organs, p.Rows); err != nil {
		return nil, err
	}
	if view.Cases, err = p.cases(ctx); err != nil {
		return nil, err
	}
	if view.Doubts, err = p.doubts(ctx); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := page.Execute(&b, view); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}
