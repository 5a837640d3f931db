package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/score"
)

// measures are what curves show of an epoch; one that says nothing is not drawn.
var measures = []struct {
	name, axis string
	of         func(fit.Epoch) (value float64, ok bool)
}{
	{"loss", "loss, mean over an epoch", func(e fit.Epoch) (float64, bool) { return e.Loss, finite(e) }},
	{"pseudo-DSC on the fold's validation cases", "moving average, %", func(e fit.Epoch) (float64, bool) { return 100 * e.EMA, e.Validated > 0 }},
}

// curves draws the measures of the models of each role over epochs, side by side, in the order of the
// courses.
func curves(list []Course) (out []figure, err error) {
	var roles []string
	byRole := map[string][]Course{}
	for _, c := range list {
		if byRole[c.Role] == nil {
			roles = append(roles, c.Role)
		}
		byRole[c.Role] = append(byRole[c.Role], c)
	}
	for _, role := range roles {
		for m := range measures {
			f, err := curve(byRole[role], m)
			if err != nil {
				return nil, err
			}
			if f.PNG != nil {
				out = append(out, f)
			}
		}
	}
	return out, nil
}

// curve draws one measure of the models of a role; no picture where no epoch has it.
func curve(list []Course, m int) (figure, error) {
	p, drawn := plot.New(), false
	p.X.Label.Text, p.Y.Label.Text = "epoch", measures[m].axis
	for i, c := range list {
		var points plotter.XYs
		for _, e := range c.History {
			if value, ok := measures[m].of(e); ok {
				points = append(points, plotter.XY{X: float64(e.Epoch + 1), Y: value})
			}
		}
		if len(points) == 0 {
			continue
		}
		drawn = true
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return figure{}, fmt.Errorf("report: curve of %s %d: %w", c.Role, c.Fold, err)
		}
		line.Color, dots.Color, dots.Radius = plotutil.Color(i), plotutil.Color(i), vg.Points(1.5)
		p.Add(line, dots)
		p.Legend.Add(fmt.Sprintf("fold %d", c.Fold), line)
	}
	if !drawn {
		return figure{}, nil
	}
	p.Legend.Top = m == 0 // a loss falls
	data, err := png(p, 18*vg.Centimeter, 7*vg.Centimeter)
	return figure{data, list[0].Role + ": " + measures[m].name}, err
}

// finite reports whether an epoch's loss can be drawn; that of an epoch whose steps were all skipped cannot.
func finite(e fit.Epoch) bool { return !math.IsNaN(e.Loss) && !math.IsInf(e.Loss, 0) }

// boxes draws DSC and NSD of the organs over the cases that hold them.
func boxes(organs []cases.Label, rows []score.Row) (out []figure, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	for _, measure := range []struct {
		name string
		of   func(score.Organ) float64
	}{
		{"DSC", func(o score.Organ) float64 { return o.DSC }},
		{"NSD", func(o score.Organ) float64 { return o.NSD }},
	} {
		p := plot.New()
		p.Y.Label.Text, p.Y.Min, p.Y.Max = measure.name+", %", 0, 100
		names := make([]string, len(organs))
		for i, organ := range organs {
			names[i] = organ.Name
			var values plotter.Values
			for _, r := range rows {
				for _, o := range r.Organs {
					if o.Label == organ.ID && o.Scored && o.Voxels.Reference() > 0 {
						values = append(values, 100*measure.of(o))
					}
				}
			}
			if len(values) == 0 {
				continue
			}
			box, err := plotter.NewBoxPlot(vg.Points(18), float64(i), values)
			if err != nil {
				return nil, fmt.Errorf("report: box of %s: %w", organ.Name, err)
			}
			c := Colour(organ.ID)
			box.FillColor = color.NRGBA{c.R, c.G, c.B, 160}
			p.Add(box)
		}
		p.NominalX(names...)
		p.X.Min, p.X.Max = -0.6, float64(len(organs))-0.4
		p.X.Tick.Label.Rotation = math.Pi / 6
		p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = text.XRight, text.YCenter
		data, err := png(p, 24*vg.Centimeter, 9*vg.Centimeter)
		if err != nil {
			return nil, err
		}
		out = append(out, figure{data, fmt.Sprintf("%s over %d cases: median, quartiles, and whiskers to the last case within one and a half times their distance", measure.name, len(rows))})
	}
	return out, nil
}

func png(p *plot.Plot, width, height vg.Length) ([]byte, error) {
	w, err := p.WriterTo(width, height, "png")
	if err != nil {
		return nil, fmt.Errorf("report: draw a plot: %w", err)
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("report: write a plot: %w", err)
	}
	return b.Bytes(), nil
}
