// Package beamtest runs a package's tests of pipelines on Beam's Prism as Beam itself
// starts it (package runners may not be used there). That leaves an empty file in the
// folder for temporary files for each pipeline (runnerlib.Execute of Beam 2.77), so the
// tests get such a folder of their own, which goes when they end.
package beamtest

import (
	"os"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"
)

// Main is a TestMain.
func Main(m *testing.M) {
	folder, err := os.MkdirTemp("", "beamtest-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	os.Setenv("TMPDIR", folder)
	ptest.MainRet(m) // package testing exits with its result
}
