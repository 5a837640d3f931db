package phantom

import "noisystudent/model/random"

// tissue is what a place is made of; the first 14 are the organs by label.
type tissue int

const (
	air tissue = classes + iota
	fat
	visceralFat
	muscle
	skin
	bone
	marrow
	disc
	canal
	lung
	table
	gas
	fluid         // in stomach and bowel
	oral          // the same with contrast medium that was drunk
	stool         // in the colon
	wall          // of bowel
	node          // lymph node
	portalBlood   // portal system
	arterialBlood // arteries that are not labelled
	venousBlood   // veins that are not labelled
	heart
	medulla // of the kidneys
	liverVessel
	lesion // of the liver
	cyst
	tissues // how many there are
)

// attenuation draws the HU of every tissue of one patient.
func attenuation(s *random.Stream, d domain) (hu [tissues]float64) {
	added := d.enhancement(s)
	for l := range classes {
		hu[l] = plainHU[l] + added[l] + s.Normal()*d.organHU
	}
	for t, v := range map[tissue]float64{
		air: -1000, lung: -830, gas: -850, skin: 15, bone: 380, canal: 28, table: -300,
	} {
		hu[t] = v
	}
	own := s.Child(random.Key("tissues")) // keeps a fixed order of draws below
	for _, v := range []struct {
		t        tissue
		mean, sd float64
	}{
		{fat, -102, 5},
		{visceralFat, -95, 6},
		{muscle, 55 + 0.08*added[spleen], 6},
		{marrow, 165, 35},
		{disc, 80, 10},
		{fluid, 18, 10},
		{oral, 170, 60},
		{stool, 5, 30},
		{wall, 38 + 0.3*added[spleen], 8},
		{node, 45 + 0.4*added[spleen], 10},
		{cyst, 6, 4},
	} {
		hu[v.t] = v.mean + v.sd*own.Normal()
	}
	hu[portalBlood] = hu[cava] + 0.2*added[liver]
	hu[arterialBlood], hu[venousBlood] = hu[aorta]-4, hu[cava]-4
	hu[heart] = (hu[aorta] + hu[cava]) / 2
	hu[medulla] = hu[rightKidney] - 0.35*added[rightKidney]
	hu[liverVessel] = hu[liver] + 0.25*added[cava] - 6
	hu[lesion] = hu[liver] - own.Uniform(15, 40)
	return hu
}
