//go:build nocuda

package command

import (
	"strings"
	"testing"
)

// TestLeftOut asks a binary without CUDA for a card, which says so, and for what there is.
func TestLeftOut(t *testing.T) {
	const want = "built without CUDA (tag nocuda"
	for _, line := range []string{"train --dataset d --store s --device cuda", "train --dataset d --store s --device cuda:1"} {
		code, out, log := command(t, strings.Fields(line)...)
		if code != Usage || !strings.Contains(out+log, want) {
			t.Errorf("%s: exit code %d, %s%s", line, code, out, log)
		}
	}
	if code, out, _ := command(t, "doctor"); code != Done || !strings.Contains(out, want) {
		t.Errorf("doctor: exit code %d, %s", code, out)
	}
	if _, out, _ := command(t, "--version"); !strings.Contains(out, want) {
		t.Errorf("version: %s", out)
	}
}
