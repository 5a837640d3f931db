package plan

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTiles(t *testing.T) {
	for tiles, good := range map[string]bool{"": true, "all": true, "body": true, "region": true, "none": false, "body,region": false} {
		p := made(t, Options{Preset: Demo})
		p.Inference.Tiles = tiles
		if err := p.Check(); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "inference.tiles") {
			t.Errorf("%q: error %v", tiles, err)
		}
	}
	p := made(t, Options{Preset: Demo})
	p.Inference.RegionScale = 0
	if err := p.Check(); err != nil {
		t.Errorf("a setting that no one asks for: %v", err)
	}
	p.Inference.Tiles = RegionTiles
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "inference.region_scale 0") {
		t.Errorf("no spacing for the look: %v", err)
	}
}

// A digest holds what changes labels and nothing else: of all tiles it is that of
// plans which had no choice.
func TestTilesDigest(t *testing.T) {
	digest := func(tiles string, margin float64) string {
		p := made(t, Options{Preset: Demo})
		p.Inference.Tiles, p.Inference.RegionMarginMM = tiles, margin
		return p.Digest()
	}
	before := made(t, Options{Preset: Demo})
	before.Inference.Tiles, before.Inference.RegionScale, before.Inference.RegionMarginMM = "", 0, 0
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{before.Digest(), digest("all", 20), true},
		{digest("all", 20), digest("all", 30), true},
		{digest("all", 20), digest("body", 20), false},
		{digest("body", 20), digest("body", 30), true},
		{digest("region", 20), digest("region", 30), false},
		{digest("region", 20), digest("body", 20), false},
	} {
		if (c.a == c.b) != c.same {
			t.Errorf("digests %s and %s: equal %v, want %v", c.a, c.b, c.a == c.b, c.same)
		}
	}
}

// A plan from before plans had a choice computes everything.
func TestPlanWithoutTiles(t *testing.T) {
	want := made(t, Options{Preset: Demo})
	data, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`,\s*"(tiles|region_\w+)": [^,\n]+`).ReplaceAllString(string(data), "")
	if strings.Contains(old, `"region_margin_mm":`) || strings.Contains(old, `"tiles":`) {
		t.Fatalf("the old plan knows of tiles: %s", old)
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
	if p.Inference.Tiles != RegionTiles || p.Inference.RegionScale != regionScale || p.Inference.RegionMarginMM != regionMarginMM {
		t.Errorf("inference %+v", p.Inference)
	}
}
