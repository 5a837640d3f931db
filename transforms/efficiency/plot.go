package efficiency

import (
	"bytes"
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// panel is one curve of every system over time.
type panel struct {
	label string
	value func(s Sample) float64
}

// Plot draws the curves of one case as PNG: memory, CPU and, where a card was used, GPU
// memory over time, a line a system.
func Plot(id string, all []Measured) ([]byte, error) {
	panels := []panel{
		{"RAM, GB", func(s Sample) float64 { return float64(s.RAM) / gb }},
		{"CPU, %", func(s Sample) float64 { return s.CPU }},
	}
	for _, m := range all {
		if m.PeakGPU > 0 {
			panels = append(panels, panel{"GPU, GB", func(s Sample) float64 { return float64(s.GPU) / gb }})
			break
		}
	}
	column := make([][]*plot.Plot, len(panels))
	for i, p := range panels {
		drawn, err := p.draw(all, i == 0)
		if err != nil {
			return nil, fmt.Errorf("efficiency: plot %s: %w", id, err)
		}
		if i == 0 {
			drawn.Title.Text = id
			drawn.Legend.Top = true
			drawn.Y.Max *= 1 + 0.12*float64(len(all)) // room for it
		}
		if i == len(panels)-1 {
			drawn.X.Label.Text = "s since the process was started"
		}
		column[i] = []*plot.Plot{drawn}
	}
	return stacked(column)
}

// draw makes one panel; one legend is enough.
func (p panel) draw(all []Measured, legend bool) (*plot.Plot, error) {
	out := plot.New()
	out.Y.Label.Text, out.Y.Min, out.X.Min = p.label, 0, 0
	for i, m := range all {
		points := plotter.XYs{{}}
		for _, s := range m.Samples {
			points = append(points, plotter.XY{X: s.At, Y: p.value(s)})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.Color = plotutil.Color(i)
		out.Add(line)
		if legend {
			out.Legend.Add(m.Title(), line)
		}
	}
	return out, nil
}

// stacked draws panels below each other, their axes aligned.
func stacked(column [][]*plot.Plot) ([]byte, error) {
	image := vgimg.New(18*vg.Centimeter, vg.Length(len(column))*7*vg.Centimeter)
	tiles := draw.Tiles{Rows: len(column), Cols: 1, PadY: 3 * vg.Millimeter, PadRight: 4 * vg.Millimeter}
	for i, row := range plot.Align(column, tiles, draw.New(image)) {
		column[i][0].Draw(row[0])
	}
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: image}).WriteTo(&b); err != nil {
		return nil, fmt.Errorf("efficiency: write a plot: %w", err)
	}
	return b.Bytes(), nil
}
