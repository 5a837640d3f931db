package phantom

// Label ids in FLARE order; 0 is background.
const (
	liver uint8 = 1 + iota
	rightKidney
	spleen
	pancreas
	aorta
	cava
	rightAdrenal
	leftAdrenal
	gallbladder
	esophagus
	stomach
	duodenum
	leftKidney
)

const classes = 14

// Names of the labels, by id.
var Names = [classes]string{
	"background", "liver", "right_kidney", "spleen", "pancreas", "aorta", "inferior_vena_cava", "right_adrenal_gland",
	"left_adrenal_gland", "gallbladder", "esophagus", "stomach", "duodenum", "left_kidney",
}

// plainHU is the attenuation of each organ without contrast; it lies within the
// spread of muscle (55) and bowel for all but the gallbladder.
var plainHU = [classes]float64{0, 55, 32, 48, 35, 42, 40, 20, 20, 8, 35, 30, 30, 32}

// Phase is the HU that a full dose of contrast adds to each organ.
type phase [classes]float64

var (
	portal   = phase{0, 55, 130, 75, 55, 110, 90, 45, 45, 0, 20, 15, 35, 130}
	arterial = phase{0, 15, 110, 70, 65, 240, 30, 50, 50, 0, 20, 25, 40, 110}
	late     = phase{0, 40, 160, 50, 35, 60, 60, 30, 30, 0, 18, 12, 25, 160}
	native   = phase{}
)
