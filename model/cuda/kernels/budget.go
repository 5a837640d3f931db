package kernels

import "strings"

// budgets are the most registers a thread that a kernel of a file may take, so that
// enough threads fit on a multiprocessor to hide the memory's latency. The first line
// that fits a unit counts. Nothing may spill.
var budgets = []struct {
	file, defines string // the unit's defines contain these
	registers     int
}{
	{"blend", "", 80},
	{"conv_direct", "", 64},
	{"conv_first", "", 128},
	{"conv_mma", "", 168},
	{"conv_pack", "", 40},
	{"conv_sum", "", 64},
	{"elementwise", "", 64},
	{"grad_direct", "", 64},
	{"grad_mma", "", 168},
	{"grad_pack", "", 40},
	{"grad_sum", "", 64},
	{"loss", "", 80},
	{"moments", "", 64},
	{"norm", "WIDTH=1 ", 64},
	{"norm", "WIDTH=8 ", 96},
	{"update", "", 64},
}

// Registers is the most registers a thread that kernels of the unit may take; 0 for a
// unit that has no line in the table of budgets.
func (u Unit) Registers() int {
	for _, b := range budgets {
		if b.file == u.File && strings.Contains(u.Defines+" ", b.defines) {
			return b.registers
		}
	}
	return 0
}
