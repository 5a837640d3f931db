package cases

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPairs(t *testing.T) {
	labels := []Label{
		{ID: 1, Name: "liver"},
		{ID: 2, Name: "right_kidney"},
		{ID: 3, Name: "Adrenal Gland Right"},
		{ID: 4, Name: "bright-spot"},
		{ID: 5, Name: "adrenal-gland-left"},
		{ID: 6, Name: "left_lung"},
		{ID: 7, Name: "RightEye"},
		{ID: 8, Name: "lefteye"},
		{ID: 13, Name: "Left Kidney"},
	}
	if d := cmp.Diff([][2]int{{2, 13}, {3, 5}, {7, 8}}, Pairs(labels)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"left_lung"}, OneSided(labels)); d != "" {
		t.Error(d)
	}
	if got := OneSided(labels[:1]); got != nil {
		t.Errorf("one-sided %v", got)
	}
}
