package plan

import (
	"slices"
	"strings"
	"testing"
)

// The systems are what the presets of their names plan.
func TestSystems(t *testing.T) {
	for _, from := range Systems() {
		base, err := FLARE22(from)
		if err != nil {
			t.Fatal(err)
		}
		if base.PatchSize != [3]int{40, 224, 192} || base.Network.Stages() != 6 || base.Classes() != 14 {
			t.Errorf("%s: patch %v, %d stages, %d classes: not the paper's", from, base.PatchSize, base.Network.Stages(), base.Classes())
		}
		for _, to := range Systems() {
			got, err := base.As(to)
			want, _ := FLARE22(to)
			if err != nil || !slices.Equal(got.Network.Features, want.Network.Features) || got.Inference.Digested().Export != want.Inference.Export || got.Preset != to {
				t.Errorf("%s as %s: %v, features %v, %+v", from, to, err, got.Network.Features, got.Inference)
			}
		}
	}
	demo := made(t, Options{Preset: Demo})
	if p, err := demo.As(Student); err != nil || !slices.Equal(p.Network.Features, demo.Network.Features) {
		t.Errorf("a network of one's own: %v, %v", p.Network.Features, err)
	}
	if p, err := demo.As(NNUNet); err != nil || !slices.Equal(p.Network.Features, []int{32, 64, 128, 256}) {
		t.Errorf("nnU-Net's on one's own patch: %v, %v", p.Network.Features, err)
	}
	if _, err := demo.As(Demo); err == nil || !strings.Contains(err.Error(), "there are nnunet, low-footprint, student") {
		t.Error(err)
	}
}
