package pipelines

import (
	"fmt"

	"noisystudent/transforms/plan"
)

// Formats names the versions of the files that this binary writes.
func Formats() string {
	return fmt.Sprintf("plan %d, report %d, Zarr v3, safetensors, NIfTI-1 (and NIfTI-2 read)", plan.FormatVersion, reportFormat)
}
