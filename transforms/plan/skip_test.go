package plan

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSkip(t *testing.T) {
	for _, c := range []struct {
		skip string
		want string // of the error
		body bool
	}{
		{"", "", false},
		{"none", "", false},
		{"body", "", true},
		{"region", "", false},
		{"region,body", "", true},
		{"air", `inference.skip "air": want one of body, region`, false},
		{"body,", "want one of body, region", false},
		{"none,body", "want one of body, region", false},
		{"body,body", "names a part twice", false},
	} {
		p := made(t, Options{Preset: Demo})
		p.Inference.Skip = c.skip
		err := p.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.skip, err, c.want)
		}
		if err == nil && p.Inference.Skips(Body) != c.body {
			t.Errorf("%q: skips body: %v", c.skip, !c.body)
		}
	}
	p := made(t, Options{Preset: Demo})
	p.Inference.RegionSpacing = 0
	if err := p.Check(); err != nil {
		t.Errorf("a setting that no one asks for: %v", err)
	}
	p.Inference.Skip = Region
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "inference.region_spacing 0") {
		t.Errorf("no spacing for the look: %v", err)
	}
}

// A digest holds what changes labels and nothing else: without skipping it is that of
// plans which could not skip.
func TestSkipDigest(t *testing.T) {
	digest := func(skip string, margin float64) string {
		p := made(t, Options{Preset: Demo})
		p.Inference.Skip, p.Inference.RegionMargin = skip, margin
		return p.Digest()
	}
	before := made(t, Options{Preset: Demo})
	before.Inference.Skip, before.Inference.RegionSpacing, before.Inference.RegionMargin = "", 0, 0
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{before.Digest(), digest("none", 20), true},
		{digest("none", 20), digest("none", 30), true},
		{digest("none", 20), digest("body", 20), false},
		{digest("body", 20), digest("body", 30), true},
		{digest("region", 20), digest("region", 30), false},
		{digest("region", 20), digest("body,region", 20), false},
		{digest("region,body", 20), digest("body,region", 20), true},
	} {
		if (c.a == c.b) != c.same {
			t.Errorf("digests %s and %s: equal %v, want %v", c.a, c.b, c.a == c.b, c.same)
		}
	}
}

// A plan from before plans could skip computes everything.
func TestPlanWithoutSkip(t *testing.T) {
	want := made(t, Options{Preset: Demo})
	data, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`,\s*"(skip|region_\w+)": [^,\n]+`).ReplaceAllString(string(data), "")
	if strings.Contains(old, `"region_margin":`) || strings.Contains(old, `"skip":`) {
		t.Fatalf("the old plan knows of skipping: %s", old)
	}
	p, err := Decode([]byte(old))
	if d := cmp.Diff(want, p, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Reasons" }, cmp.Ignore())); err != nil || d != "" {
		t.Errorf("error %v, plan (-new +old)\n%s", err, d)
	}
}

// The laptop preset does not ask the data set for its grid, and leaves out what it can.
func TestLaptopPreset(t *testing.T) {
	p := made(t, Options{Preset: Laptop})
	if p.Spacing != [3]float64{2.5, 1.5, 1.5} || p.PatchSize != [3]int{48, 128, 128} || p.Network.Divisor() != [3]int{8, 32, 32} || p.BatchSize != 2 {
		t.Errorf("spacing %v, patch %v, divisor %v, batch %d", p.Spacing, p.PatchSize, p.Network.Divisor(), p.BatchSize)
	}
	if !p.Inference.Skips(Body) || !p.Inference.Skips(Region) || p.Inference.RegionSpacing != regionSpacing || p.Inference.RegionMargin != regionMargin {
		t.Errorf("inference %+v", p.Inference)
	}
}
