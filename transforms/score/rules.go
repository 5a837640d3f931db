package score

import (
	"fmt"
	"math"
	"strings"
)

// Rules names what is done with absent organs, with tubular organs and with hopeless
// predictions, and how scores are rounded.
type Rules string

const (
	// FLARE22 is the script of FLARE 2022: both masks empty score 1, one empty
	// scores 0; aorta, inferior vena cava and esophagus are scored on the slices
	// of the reference only, the highest left out; four decimals.
	FLARE22 Rules = "flare22"
	// FLARE2024 is the script of 2024: as FLARE22, and NSD is 0 where DSC is under 0.2.
	FLARE2024 Rules = "flare22-2024"
	// NNUNet is nnU-Net's rule: a class absent in both has no score and is left
	// out of means. NSD, which nnU-Net does not have, follows it.
	NNUNet Rules = "nnunet"
)

// ParseRules checks a name; the empty one is FLARE22.
func ParseRules(name string) (Rules, error) {
	switch r := Rules(name); r {
	case "":
		return FLARE22, nil
	case FLARE22, FLARE2024, NNUNet:
		return r, nil
	}
	return "", fmt.Errorf("score: unknown rules %q: want %s, %s or %s", name, FLARE22, FLARE2024, NNUNet)
}

func (r Rules) flare() bool { return r != NNUNet }

// Round gives a score as the rules' script prints it: FLARE rounds every case to
// four decimals (as NumPy does it) before anything is averaged.
func (r Rules) Round(score float64) float64 {
	if !r.flare() {
		return score
	}
	return math.RoundToEven(score*1e4) / 1e4
}

// organ is what FLARE's scripts know about one organ.
type organ struct {
	short       string // column name in FLARE's tables
	toleranceMM float64
	tubular     bool // scored on the slices of the reference only
}

// otherToleranceMM is the tolerance of organs that FLARE does not list: its strictest.
const otherToleranceMM = 2

var organs = map[string]organ{
	"liver":               {"Liver", 5, false},
	"right kidney":        {"RK", 3, false},
	"spleen":              {"Spleen", 3, false},
	"pancreas":            {"Pancreas", 5, false},
	"aorta":               {"Aorta", 2, true},
	"inferior vena cava":  {"IVC", 2, true},
	"right adrenal gland": {"RAG", 2, false},
	"left adrenal gland":  {"LAG", 2, false},
	"gallbladder":         {"Gallbladder", 2, false},
	"esophagus":           {"Esophagus", 3, true},
	"stomach":             {"Stomach", 5, false},
	"duodenum":            {"Duodenum", 7, false},
	"left kidney":         {"LK", 3, false},
}

// synonyms are other spellings found in dataset.json files of the field.
var synonyms = map[string]string{
	"rk": "right kidney", "lk": "left kidney", "kidney right": "right kidney", "kidney left": "left kidney",
	"rag": "right adrenal gland", "lag": "left adrenal gland",
	"right adrenal": "right adrenal gland", "left adrenal": "left adrenal gland",
	"adrenal gland right": "right adrenal gland", "adrenal gland left": "left adrenal gland",
	"ivc": "inferior vena cava", "postcava": "inferior vena cava", "vena cava": "inferior vena cava",
	"oesophagus": "esophagus", "gall bladder": "gallbladder",
}

// organOf finds an organ by the name that dataset.json gives it.
func organOf(name string) organ {
	key := strings.Join(strings.Fields(strings.NewReplacer("_", " ", "-", " ").Replace(strings.ToLower(name))), " ")
	if s, ok := synonyms[key]; ok {
		key = s
	}
	if o, ok := organs[key]; ok {
		return o
	}
	return organ{short: name, toleranceMM: otherToleranceMM}
}

// ToleranceMM returns the NSD tolerance of an organ by name: FLARE's, or 2 mm for
// organs that FLARE does not list.
func ToleranceMM(name string) float64 { return organOf(name).toleranceMM }
