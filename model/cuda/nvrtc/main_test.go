package nvrtc_test

import (
	"flag"
	"os"
	"testing"
)

// All units of the conformance suite take half an hour on two cores where nothing is
// cached. So a run takes what -short takes, the units of organ networks, unless NOISYSTUDENT_CUDA=all.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("NOISYSTUDENT_CUDA") != "all" {
		if err := flag.Set("test.short", "true"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
