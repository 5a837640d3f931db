package report

import (
	"image/color"
	"math"
)

// Colour is a class's colour. Neighbours are a golden angle of hue apart, and every other one is darker;
// the background is black.
func Colour(class int) color.RGBA {
	if class == 0 {
		return color.RGBA{A: 255}
	}
	const golden = 0.61803398875
	_, hue := math.Modf(float64(class-1) * golden)
	value := 1 - 0.35*float64((class-1)%3)/2
	channel := func(shift float64) uint8 { // hue to RGB at saturation 0.85
		k := math.Mod(shift+6*hue, 6)
		return uint8(math.Round(255 * value * (1 - 0.85*max(0, min(k, 4-k, 1)))))
	}
	return color.RGBA{channel(5), channel(3), channel(1), 255}
}
