package plan

import (
	"fmt"
	"strings"

	"noisystudent/model/program"
)

// Names of precisions: how exactly a network multiplies. A device may be more exact.
const (
	FP32  = "fp32"  // float32, transformed where that is faster: within 1e-4 of the definition
	BF16  = "bf16"  // factors rounded to bfloat16, sums in float32
	FP16  = "fp16"  // half precision with float32 weights and norms, and a dynamic loss scale
	Mixed = "mixed" // fp16 on a card, which is the paper's mixed precision, fp32 elsewhere: see engine.Engine.Decided
	Exact = "exact" // float32 products as they are defined
)

var precisions = []struct {
	name  string
	value program.Precision
}{{Mixed, program.Mixed}, {FP32, program.Float32}, {BF16, program.Half}, {FP16, program.Float16}, {Exact, program.Exact}}

// Precisions returns the names.
func Precisions() []string {
	names := make([]string, len(precisions))
	for i, p := range precisions {
		names[i] = p.name
	}
	return names
}

// PrecisionName is the inverse of ParsePrecision.
func PrecisionName(value program.Precision) string {
	for _, p := range precisions {
		if p.value == value {
			return p.name
		}
	}
	return fmt.Sprintf("precision %d", value)
}

// ParsePrecision returns what a name asks of a device.
func ParsePrecision(name string) (program.Precision, error) {
	for _, p := range precisions {
		if p.name == name {
			return p.value, nil
		}
	}
	return 0, fmt.Errorf("plan: precision %q; want one of %s", name, strings.Join(Precisions(), ", "))
}
