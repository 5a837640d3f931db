package view

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/report"
	"noisystudent/transforms/score"
)

// tab is a page in headless Chromium, which draws without a card and reaches nothing but this machine.
type tab struct {
	*testing.T
	ctx      context.Context
	mu       sync.Mutex
	requests []string // all that the page asked for
	errors   []string // what its console says is wrong
}

func openTab(t *testing.T) *tab {
	t.Helper()
	binary := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && binary == "" {
			binary = path
		}
	}
	if binary == "" {
		t.Skip("needs Chromium: apt-get install chromium")
	}
	dir := t.TempDir()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(binary), chromedp.UserDataDir(filepath.Join(dir, "profile")), chromedp.WindowSize(1200, 800),
		chromedp.Env("TMPDIR="+dir, "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir),
		chromedp.Flag("use-angle", "swiftshader"), chromedp.Flag("enable-unsafe-swiftshader", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which Chromium demands of root
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	x := &tab{T: t}
	x.ctx, _ = chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(x.ctx); err != nil {
			t.Errorf("close Chromium: %v", err)
		}
		stop()
		for range 100 { // its children write for a moment longer
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	if err := chromedp.Listen(x.ctx, x.hear); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(x.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *tab) hear(event any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		x.requests = append(x.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		x.errors = append(x.errors, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			x.errors = append(x.errors, e.Entry.Text)
		}
	}
}

// of does something in the page and returns what comes of it.
func of[R any](x *tab, action chromedp.Action[R]) R {
	x.Helper()
	ctx, cancel := context.WithTimeout(x.ctx, 2*time.Minute)
	defer cancel()
	r, err := chromedp.Run(ctx, action)
	if err != nil {
		x.Fatal(err)
	}
	return r
}

func (x *tab) click(selector string) {
	x.Helper()
	of(x, chromedp.Click(chromedp.CSS(selector)))
}

// text is what elements say, one after the other.
func (x *tab) text(selector string) string {
	x.Helper()
	return of(x, chromedp.Evaluate[string](fmt.Sprintf("[...document.querySelectorAll(%q)].map((e) => e.textContent).join('; ')", selector)))
}

// set gives a control a value as a person does.
func (x *tab) set(id, value string) {
	x.Helper()
	of(x, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("{ const e = document.getElementById(%q); e.value = %q; e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); }", id, value)))
}

// settled waits until the page has loaded what was asked for, and returns its state.
func (x *tab) settled() (state string) {
	x.Helper()
	return of(x, chromedp.Poll[string]("['ready', 'failed'].includes(document.body.dataset.state) && document.body.dataset.state", chromedp.WithPollingTimeout(time.Minute)))
}

// picture is what the canvas shows once it is drawn.
func (x *tab) picture() image.Image {
	x.Helper()
	of(x, chromedp.Evaluate[bool]("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))", chromedp.EvalAwaitPromise))
	img, err := png.Decode(bytes.NewReader(of(x, chromedp.Screenshot(chromedp.CSS("#canvas")))))
	if err != nil {
		x.Fatal(err)
	}
	return img
}

// seen are the pixels of a colour: how many, and the mean of their columns.
type seen struct {
	pixels int
	x      float64
}

func look(img image.Image, c color.RGBA) (s seen) {
	b := img.Bounds()
	near := func(v uint32, w uint8) bool { return math.Abs(float64(v>>8)-float64(w)) <= 3 }
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if r, g, bl, _ := img.At(x, y).RGBA(); near(r, c.R) && near(g, c.G) && near(bl, c.B) {
				s.pixels++
				s.x += float64(x)
			}
		}
	}
	s.x /= float64(max(s.pixels, 1))
	return s
}

// greys counts the shades of grey that many pixels have, which is what a scan is drawn in.
func greys(img image.Image) (shades int) {
	count := map[uint32]int{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if r, g, bl, _ := img.At(x, y).RGBA(); r == g && g == bl {
				count[r>>8]++
			}
		}
	}
	for _, n := range count {
		if n > 500 {
			shades++
		}
	}
	return shades
}

// TestPage looks at a case in a browser without a network: the scan is drawn, each class in its colour
// where it lies, and what a person clicks changes the picture.
func TestPage(t *testing.T) {
	x := openTab(t)
	s := New(patient(t), names)
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	of(x, chromedp.Navigate(server.URL+s.Path()))
	if state := x.settled(); state != "ready" {
		t.Fatalf("the page is %s: %s; %v", state, x.text("#message"), x.errors)
	}
	listed := x.text("#classes label")
	if want := "right <b>organ</b>192.0 ml; left organ48.0 ml; class 20024.0 ml"; listed != want {
		t.Errorf("classes %q, want %q", listed, want)
	}

	x.set("opacity", "1")
	x.set("slice", "4") // holds all classes
	img := x.picture()
	if n := greys(img); n < 20 {
		t.Errorf("the scan has %d shades of grey", n)
	}
	r, l, b := look(img, report.Colour(right)), look(img, report.Colour(left)), look(img, report.Colour(low))
	for name, ratio := range map[string]float64{"left": float64(r.pixels) / float64(l.pixels) / 4, "low": float64(r.pixels) / float64(b.pixels) / 3} {
		if !(math.Abs(ratio-1) < 0.05) { // areas of 600, 150 and 200 voxels
			t.Errorf("right has %d pixels, left %d, low %d: %s is not drawn as large as it is", r.pixels, l.pixels, b.pixels, name)
		}
	}
	if !(r.x < b.x && b.x < l.x) {
		t.Errorf("the patient's right is at column %.0f, left at %.0f: not as radiologists look at it", r.x, l.x)
	}
	if n := look(img, report.Colour(0)).pixels; n == img.Bounds().Dx()*img.Bounds().Dy() || r.pixels < 1000 {
		t.Errorf("of %v pixels %d are black, %d of the largest class", img.Bounds(), n, r.pixels)
	}

	box := fmt.Sprintf("#classes input[data-id='%d']", right)
	x.click(box)
	img = x.picture()
	if r0, l0 := look(img, report.Colour(right)), look(img, report.Colour(left)); r0.pixels != 0 || l0 != l {
		t.Errorf("with a class hidden it has %d pixels, and another %v, before %v", r0.pixels, l0, l)
	}
	x.click(box)
	if again := look(x.picture(), report.Colour(right)); again != r {
		t.Errorf("shown again it is %v, before %v", again, r)
	}
	x.click("#none")
	img = x.picture()
	for _, class := range []int{right, left, low} {
		if n := look(img, report.Colour(class)).pixels; n != 0 {
			t.Errorf("with none shown class %d has %d pixels", class, n)
		}
	}
	x.click("#all")
	x.set("slice", "12") // above the lower half
	if img = x.picture(); look(img, report.Colour(low)).pixels != 0 || look(img, report.Colour(right)) != r {
		t.Errorf("slice 13: low is %v, right %v, before %v", look(img, report.Colour(low)), look(img, report.Colour(right)), r)
	}

	x.click("[value=differences]")
	if state := x.settled(); state != "ready" {
		t.Errorf("differences: %s", state)
	}
	if img = x.picture(); look(img, report.Colour(right)).pixels != 0 || look(img, report.Colour(left)) != l {
		t.Errorf("differences: right is %v, left %v; before %v", look(img, report.Colour(right)), look(img, report.Colour(left)), l)
	}

	if len(x.errors) > 0 {
		t.Errorf("the console says %q", x.errors)
	}
	x.set("case", "1")
	if state := x.settled(); state != "failed" {
		t.Errorf("a damaged scan: %s", state)
	}
	if message := x.text("#message"); !strings.Contains(message, "copy or export the file again") {
		t.Errorf("a damaged scan: %q", message)
	}
	x.set("case", "0")
	if state := x.settled(); state != "ready" {
		t.Errorf("a scan after a damaged one: %s", state)
	}
	if img = x.picture(); look(img, report.Colour(right)).pixels == 0 || greys(img) < 20 {
		t.Error("a scan after a damaged one is not drawn")
	}

	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.requests) < 6 {
		t.Errorf("the page asked for %v only", x.requests)
	}
	for _, url := range x.requests {
		if !strings.HasPrefix(url, server.URL+s.Path()) && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "blob:") {
			t.Errorf("the page asked for %s", url)
		}
	}
}

// TestReport opens the page of a run, as a person does, from its file.
func TestReport(t *testing.T) {
	x := openTab(t)
	c := patient(t)[0]
	agreed := 0.625
	p := report.Page{
		Title: "a run", Notes: []string{"a note"}, Organs: names, Shown: "student", Scans: map[string]string{c.ID: c.Scan},
		Columns: []report.Column{{Name: "student", Organs: map[string]*score.Mean{names[0].Name: {DSC: 0.5, NSD: 0.25}}}},
		Rows: []score.Row{{Case: c.ID, Reference: c.References, Prediction: c.Labels, Organs: []score.Organ{
			{Label: right, Scored: true, DSC: 0.5, NSD: 0.25, Voxels: score.Voxels{TP: 1}}, {Label: left, Scored: true, DSC: 0.7, Voxels: score.Voxels{TP: 1}},
		}}},
		Courses: []report.Course{{Role: "student", History: []fit.Epoch{{Loss: 1, EMA: 0.3, Validated: 2}, {Epoch: 1, Loss: 0.5, EMA: 0.4, Validated: 2}}}},
		Doubted: []report.Doubted{{Case: c.ID, Labels: c.Labels, Agreement: map[string]*float64{names[0].Name: &agreed}, Doubt: func(ctx context.Context) (*volume.Labels, error) {
			l, _, err := cases.ReadLabels(ctx, cases.Case{Labels: c.Labels}, cases.Scheme{Classes: 256}, "ras", 0)
			for i, class := range l.Data {
				l.Data[i] = 255 * min(class, 1) // of all organs
			}
			return l, err
		}}},
	}
	html, err := p.HTML(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "index.html")
	if err := os.WriteFile(file, html, 0o666); err != nil {
		t.Fatal(err)
	}
	of(x, chromedp.Navigate("file://"+filepath.ToSlash(file)))
	if got := x.text("td"); got != "right <b>organ</b>; 50.0 / 25.0; left organ; ; mean; 0.0 / 0.0; right <b>organ</b>; 62.5; left organ; " {
		t.Errorf("the table says %q", got)
	}
	drawn := of(x, chromedp.Evaluate[[]int]("[...document.images].map((i) => i.complete ? Math.round(i.getBoundingClientRect().width) : 0)"))
	for i, width := range drawn {
		if width < 300 {
			t.Errorf("picture %d is %d pixels wide", i, width)
		}
	}
	if len(drawn) != 2+1+1+2 {
		t.Errorf("%d pictures", len(drawn))
	}
	if width := of(x, chromedp.Evaluate[int]("document.documentElement.scrollWidth - document.documentElement.clientWidth")); width > 0 {
		t.Errorf("the page is %d pixels wider than the window", width)
	}
	img, err := png.Decode(bytes.NewReader(of(x, chromedp.FullScreenshot(100))))
	if err != nil {
		t.Fatal(err)
	}
	if outline := look(img, report.Colour(right)); outline.pixels < 300 || greys(img) < 20 {
		t.Errorf("the outline has %d pixels, and there are %d shades of grey", outline.pixels, greys(img))
	}
	if doubt := look(img, color.RGBA{255, 120, 0, 255}); doubt.pixels < 300 {
		t.Errorf("the doubt has %d pixels", doubt.pixels)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, url := range x.requests {
		if url != "file://"+filepath.ToSlash(file) && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asked for %.100s", url)
		}
	}
	if len(x.errors) > 0 {
		t.Errorf("the console says %q", x.errors)
	}
}
