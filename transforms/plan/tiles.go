package plan

// What Inference.Tiles may be.
const (
	AllTiles    = "all"    // tiles are laid over the whole scan, as in the paper
	BodyTiles   = "body"   // over the box around the body
	RegionTiles = "region" // over the box, within the body's, in which the models see organs
)

// Where no one says otherwise: BENCHMARKS.md has what other values save and lose.
const (
	regionScale    = 3
	regionMarginMM = 20
)

// checkTiles reports what Tiles and its settings cannot mean. Empty is all.
func (i Inference) checkTiles() error {
	switch i.Tiles {
	case "":
		return nil
	case RegionTiles:
	default:
		return oneOf("inference.tiles", i.Tiles, AllTiles, BodyTiles, RegionTiles)
	}
	return firstOf(
		within("inference.region_scale", i.RegionScale, 1, 10),
		within("inference.region_margin_mm", i.RegionMarginMM, 0.1, 1000),
	)
}

// tilesDigested leaves out what changes nothing, so that what was made before plans
// had these settings stays what it is.
func (i Inference) tilesDigested() Inference {
	if i.Tiles == AllTiles {
		i.Tiles = ""
	}
	if i.Tiles != RegionTiles {
		i.RegionScale, i.RegionMarginMM = 0, 0
	}
	return i
}

// completeTiles says what a plan from before these settings left unsaid.
func (i *Inference) completeTiles() {
	if i.Tiles == "" {
		i.Tiles = AllTiles
	}
	if i.RegionScale == 0 {
		i.RegionScale = regionScale
	}
	if i.RegionMarginMM == 0 {
		i.RegionMarginMM = regionMarginMM
	}
}
