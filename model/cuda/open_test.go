package cuda_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noisystudent/model/cuda"
	"noisystudent/model/cuda/nvrtc"
)

func TestCards(t *testing.T) {
	o := emulatedOptions(t)
	cards, err := cuda.Cards(o)
	if err != nil || len(cards) != 1 {
		t.Fatal(cards, err)
	}
	c := cards[0]
	if c.Name != "emulator of CUDA" || c.Major != 9 || c.SMs != 4 || c.Free != c.Total || c.Total != 256<<20 || c.Driver.Major != 13 {
		t.Errorf("the stand-in's card is %+v", c)
	}
	if got := c.BytesPerSecond(); got != 32e9 {
		t.Errorf("%g bytes a second by 1 GHz, double data rate and 128 bits, want 32e9", got)
	}
	if got := c.TensorFLOPS(); got != 4*4096e9 {
		t.Errorf("%g FLOPS of 4 multiprocessors at 1 GHz, want 4*4096e9", got)
	}
}

// TestNVRTCByDefault opens the card as everybody does; the stand-in cannot run the code.
func TestNVRTCByDefault(t *testing.T) {
	o := emulatedOptions(t)
	o.Compiler, o.NVRTC = nil, filepath.Join(t.TempDir(), "none")
	_, err := cuda.Open(o)
	if missing := (*nvrtc.MissingError)(nil); !errors.As(err, &missing) || !strings.Contains(err.Error(), "pip install") {
		t.Errorf("open without NVRTC: %v, want the remedy", err)
	}
	if o.NVRTC = os.Getenv("NOISYSTUDENT_NVRTC"); o.NVRTC == "" {
		return
	}
	d, err := cuda.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
