package devicetest

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// Main is the TestMain of packages with many kernels: every shape in every store, compiled for the emulator and by NVRTC, takes
// half an hour on two cores where nothing is cached. So a run takes what -short takes, unless NOISYSTUDENT_CUDA=all.
func Main(m *testing.M) {
	flag.Parse()
	if os.Getenv("NOISYSTUDENT_CUDA") != "all" {
		if err := flag.Set("test.short", "true"); err != nil {
			panic(err)
		}
		fmt.Println("partly emulator,nvrtc: one case of five, and the kernels that networks of organs launch; for all set NOISYSTUDENT_CUDA=all") // .ci/summary.go reads it
	}
	m.Run() // package testing exits with its result
}
