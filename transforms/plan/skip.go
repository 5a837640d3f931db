package plan

import (
	"fmt"
	"slices"
	"strings"
)

// What Inference.Skip may name. The paper computes every tile: none.
const (
	None   = "none"
	Body   = "body"   // tiles are laid over the box around the body
	Region = "region" // tiles are laid over the box in which the models see organs at RegionSpacing
)

// Skips tells whether Skip names a part.
func (i Inference) Skips(part string) bool { return slices.Contains(strings.Split(i.Skip, ","), part) }

// checkSkip reports what Skip and its settings cannot mean. Empty is none.
func (i Inference) checkSkip() error {
	if i.Skip == "" || i.Skip == None {
		return nil
	}
	parts := strings.Split(i.Skip, ",")
	for _, part := range parts {
		if err := oneOf("inference.skip", part, Body, Region); err != nil {
			return fmt.Errorf("%w, both with a comma between them, or none", err)
		}
	}
	if len(parts) == 2 && parts[0] == parts[1] || len(parts) > 2 {
		return fmt.Errorf("inference.skip %q names a part twice", i.Skip)
	}
	if !i.Skips(Region) {
		return nil
	}
	return firstOf(
		within("inference.region_spacing", i.RegionSpacing, 0.5, 100),
		within("inference.region_margin", i.RegionMargin, 0.1, 1000),
	)
}

// skipDigested leaves out what changes nothing, so that what was made before plans
// had these settings stays what it is.
func (i Inference) skipDigested() Inference {
	region, body := i.Skips(Region), i.Skips(Body)
	switch {
	case body && region:
		i.Skip = Body + "," + Region
	case !body && !region:
		i.Skip = ""
	}
	if !region {
		i.RegionSpacing, i.RegionMargin = 0, 0
	}
	return i
}

// completeSkip says what a plan from before these settings left unsaid.
func (i *Inference) completeSkip() {
	if i.Skip == "" {
		i.Skip = None
	}
	if i.RegionSpacing == 0 {
		i.RegionSpacing = regionSpacing
	}
	if i.RegionMargin == 0 {
		i.RegionMargin = regionMargin
	}
}

// Where no one says otherwise, in mm.
const regionSpacing, regionMargin = 4, 20
