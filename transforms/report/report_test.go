package report

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	encoder "image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/score"
)

var (
	grid = volume.Geometry{
		Shape: [3]int{4, 10, 20}, Spacing: [3]float64{5, 2, 2},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
	}
	organs = []cases.Label{{ID: 1, Name: "liver"}, {ID: 2, Name: "right <i>kidney</i>"}}
)

// write keeps a file of a test.
func write(t *testing.T, file string, encode func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

// scored makes a case whose prediction misses some of the liver, with its scores.
func scored(t *testing.T, dir, id string, missed int) (score.Row, string) {
	t.Helper()
	scan := &volume.Volume{Geometry: grid, Data: make([]float32, grid.Voxels())}
	ref := &volume.Labels{Geometry: grid, Data: make([]uint8, grid.Voxels())}
	for i := range scan.Data {
		scan.Data[i] = float32(i%20 + 1)
		if i%20 > 11 && i%20 < 18 {
			ref.Data[i] = 1
		}
	}
	ref.Data[205] = 2
	pred := &volume.Labels{Geometry: grid, Data: slices.Clone(ref.Data)}
	for i := 400; i < 400+missed; i++ {
		pred.Data[i] = 0
	}
	frame := nifti.NewFrame(grid)
	row, err := score.Case(ref, pred, score.Options{Rules: score.FLARE22, Labels: organs})
	if err != nil {
		t.Fatal(err)
	}
	row.Case = id
	row.Reference = write(t, filepath.Join(dir, id+"_reference.nii.gz"), func(w io.Writer) error { return nifti.WriteLabels(w, ref, frame) })
	row.Prediction = write(t, filepath.Join(dir, id+"_prediction.nii.gz"), func(w io.Writer) error { return nifti.WriteLabels(w, pred, frame) })
	return row, write(t, filepath.Join(dir, id+".nii.gz"), func(w io.Writer) error { return nifti.WriteVolume(w, scan, frame, nifti.Int16) })
}

// example is a page with everything.
func example(t *testing.T, dir string) Page {
	t.Helper()
	p := Page{
		Title: "a & b", Notes: []string{"one <seed>"}, Commands: []string{"noisystudent loop --store 's t'"}, Organs: organs, Shown: "student",
		Columns: []Column{{"student", score.Mean{DSC: 0.5, NSD: 0.25}, map[string]*score.Mean{"liver": {DSC: 0.987, NSD: 0.9}}}},
		Scans:   map[string]string{},
		Courses: []Course{{"teacher", 0, []fit.Epoch{{Epoch: 0, Loss: 2, EMA: 0.2, Validated: 4}, {Epoch: 1, Loss: 1, EMA: 0.3, Validated: 4}}}, {"teacher", 1, []fit.Epoch{{Loss: math.NaN()}, {Epoch: 1, Loss: 1.5}}}, {"student", 0, []fit.Epoch{{Loss: 1}}}, {"finetuned", 0, nil}, {"finetuned", 1, []fit.Epoch{{Loss: math.Inf(1)}}}},
		Rejected: []cases.Rejected{{
			Case: "cut", Stage: "preprocess", Reason: cases.Truncated, File: "/home/someone/cut.nii.gz",
			Message: "/home/someone/cut.nii.gz: truncated; copy the file again",
		}},
	}
	for i, id := range []string{"c0", "c1", "c2", "c3"} {
		row, scan := scored(t, dir, id, 40*i)
		p.Rows = append(p.Rows, row)
		p.Scans[id] = scan
	}
	delete(p.Scans, "c2")
	agreed, none := 0.876, 0.0
	p.Doubted = []Doubted{{Case: "c3", Labels: p.Rows[3].Prediction, Agreement: map[string]*float64{"liver": &agreed, "right <i>kidney</i>": &none}, Doubt: func(context.Context) (*volume.Labels, error) {
		return &volume.Labels{Geometry: grid, Data: slices.Repeat([]uint8{200}, grid.Voxels())}, nil
	}}}
	return p
}

// TestHTML looks for all that a page has, in one file that asks for nothing else.
func TestHTML(t *testing.T) {
	dir := t.TempDir()
	p := example(t, dir)
	html, err := p.HTML(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := string(html)
	for _, want := range []string{
		"<h1>a &amp; b</h1>", "one &lt;seed&gt;", "<td>liver</td><td>98.7 / 90.0</td>", "<td>right &lt;i&gt;kidney&lt;/i&gt;</td><td></td>", "<td>mean</td><td>50.0 / 25.0</td>",
		"best: c0, mean DSC 100.0 %", "median: c2", "worst: c3", "<figcaption>teacher: loss</figcaption>", "<figcaption>student: loss</figcaption>",
		"<figcaption>teacher: pseudo-DSC on the fold&#39;s validation cases</figcaption>", "<th>c3</th>", "<td>liver</td><td>87.6</td>", "kidney&lt;/i&gt;</td><td>0.0</td>", "#ff7800",
		"<td>cut.nii.gz: truncated; copy the file again</td>", "noisystudent loop --store &#39;s t&#39;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, banned := range []string{dir, "/home/someone", "://", "<script", "ZgotmplZ", "finetuned", "student: pseudo"} {
		if strings.Contains(text, banned) {
			t.Errorf("the page holds %s", banned)
		}
	}
	pictures := regexp.MustCompile(`src="([^"]*)"`).FindAllStringSubmatch(text, -1)
	if len(pictures) != 2+3+1+3 {
		t.Errorf("%d pictures", len(pictures))
	}
	for i, m := range pictures {
		data, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(strings.TrimPrefix(m[1], "data:image/png;base64,"), "&#43;", "+"))
		if err == nil {
			_, err = encoder.Decode(bytes.NewReader(data))
		}
		if err != nil {
			t.Errorf("picture %d: %v", i, err)
		}
	}
	if again, err := p.HTML(t.Context()); err != nil || !bytes.Equal(again, html) {
		t.Errorf("drawn again it differs (%v)", err)
	}
}

// What a run does not have is left out, and what cannot be read any more is told.
func TestHTMLOfLess(t *testing.T) {
	html, err := Page{Title: "nothing"}.HTML(t.Context())
	if err != nil || strings.Contains(string(html), "<h2>") || strings.Contains(string(html), "<img") {
		t.Errorf("%v\n%s", err, html)
	}
	dir := t.TempDir()
	p := example(t, dir)
	less := Page{Organs: organs, Doubted: p.Doubted}
	if html, err = less.HTML(t.Context()); err != nil || strings.Count(string(html), `class="legend"`) != 1 || strings.Count(string(html), "<img") != 1 {
		t.Errorf("doubts without scores: %v\n%.3000s", err, html)
	}
	if err := os.Remove(p.Rows[0].Prediction); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Scans["c3"], []byte("no scan any more"), 0o666); err != nil {
		t.Fatal(err)
	}
	p.Doubted[0].Doubt = func(context.Context) (*volume.Labels, error) { return nil, &cases.Fault{Kind: cases.Unreadable} }
	html, err = p.HTML(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := string(html); !strings.Contains(text, "best: c0, mean DSC 100.0 %; it cannot be drawn now: missing-file") || strings.Count(text, "<img") != 2+2+3 || !strings.Contains(text, "<figcaption>c3; it cannot be drawn now: unreadable") {
		t.Errorf("of a prediction that is gone: %s", text)
	}
}

func TestChosen(t *testing.T) {
	row := func(id string, dsc ...float64) score.Row {
		r := score.Row{Case: id}
		for _, d := range dsc {
			r.Organs = append(r.Organs, score.Organ{Scored: true, DSC: d, Voxels: score.Voxels{TP: 1}})
		}
		return r
	}
	empty := score.Row{Case: "empty", Organs: []score.Organ{{Scored: true, DSC: 1}}} // both masks empty: no organ to look at
	for _, c := range []struct {
		rows []score.Row
		want string
	}{
		{nil, ""},
		{[]score.Row{empty}, ""},
		{[]score.Row{row("a", 0.5), empty}, "the only case a"},
		{[]score.Row{row("a", 0.2), row("b", 0.3)}, "best b, worst a"},
		{[]score.Row{row("b", 0.5, 0.7), row("a", 0.6), row("w", 0.1), row("x", 0.2), row("y", 1, 0.9)}, "best y, median b, worst w"},
	} {
		var got []string
		list, names := chosen(c.rows)
		for i, r := range list {
			got = append(got, names[i]+" "+r.Case)
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s, want %s", text, c.want)
		}
	}
}

// TestTile holds a slice to what radiologists expect: patient's right on the left, front on top, the
// inside of an organ free.
func TestTile(t *testing.T) {
	l := &volume.Labels{Geometry: grid, Data: make([]uint8, grid.Voxels())}
	scan := &volume.Volume{Geometry: grid, Data: make([]float32, grid.Voxels())}
	n := 10 * 20
	for y := 6; y < 9; y++ { // front, and right: x grows to the right
		for x := 14; x < 17; x++ {
			l.Data[2*n+y*20+x] = 5
			scan.Data[2*n+y*20+x] = highHU
		}
	}
	img := image.NewRGBA(image.Rect(0, 0, 30, 10))
	tile{scan: scan, labels: l, z: 2}.draw(img, image.Rect(10, 0, 30, 10)) // a pixel a voxel
	outside := uint8(255 * -lowHU / (highHU - lowHU))
	for y := range 10 {
		for x := range 20 {
			want := color.RGBA{outside, outside, outside, 255}
			if in := x >= 3 && x < 6 && y >= 1 && y < 4; in {
				want = Colour(5)
			}
			if x == 4 && y == 2 {
				want = color.RGBA{255, 255, 255, 255}
			}
			if got := img.RGBAAt(10+x, y); got != want {
				t.Errorf("pixel %d, %d is %v, want %v", x, y, got, want)
			}
		}
	}
	if got := img.RGBAAt(9, 5); got != (color.RGBA{}) {
		t.Errorf("it draws beside its tile: %v", got)
	}
}

// TestDoubtTile: no doubt leaves the scan, a half hides it, and outlines do not lie over either.
func TestDoubtTile(t *testing.T) {
	doubt := &volume.Labels{Geometry: grid, Data: make([]uint8, grid.Voxels())}
	l := &volume.Labels{Geometry: grid, Data: slices.Repeat([]uint8{3}, grid.Voxels())}
	l.Data[3*200] = 0
	doubt.Data[3*200], doubt.Data[3*200+1], doubt.Data[200+2] = 128, 64, 100
	if z := mostDoubted(doubt); z != 3 {
		t.Fatalf("slice %d", z)
	}
	img := image.NewRGBA(image.Rect(0, 0, 20, 10))
	tile{labels: l, doubt: doubt, z: 3}.draw(img, img.Bounds())
	for x, want := range map[int]color.RGBA{19: {255, 120, 0, 255}, 18: {128, 60, 0, 255}, 17: {0, 0, 0, 255}} {
		if got := img.RGBAAt(x, 9); got != want {
			t.Errorf("pixel %d is %v, want %v", x, got, want)
		}
	}
}

func TestSlicesOf(t *testing.T) {
	ref := &volume.Labels{Geometry: grid, Data: make([]uint8, grid.Voxels())}
	pred := &volume.Labels{Geometry: grid, Data: make([]uint8, grid.Voxels())}
	for i := range 100 {
		ref.Data[200+i], pred.Data[200+i] = 1, 1 // much of one organ, right
	}
	ref.Data[400], ref.Data[401] = 1, 2 // two organs, wrong
	for i := range 5 {
		pred.Data[600+i] = 3 // no organ, most wrong
	}
	if most, worst := slicesOf(ref, pred); most != 2 || worst != 3 {
		t.Errorf("slices %d and %d", most, worst)
	}
}

// Colours of the classes that one dataset has can be told apart.
func TestColours(t *testing.T) {
	apart := func(a, b uint8) int { return (int(a) - int(b)) * (int(a) - int(b)) }
	for i := range 21 {
		for j := range i {
			a, b := Colour(i), Colour(j)
			if d := apart(a.R, b.R) + apart(a.G, b.G) + apart(a.B, b.B); d < 40*40 {
				t.Errorf("classes %d and %d: %v and %v", i, j, a, b)
			}
		}
	}
	if c := fmt.Sprint(Colour(0)); c != "{0 0 0 255}" {
		t.Errorf("the background is %s", c)
	}
}
