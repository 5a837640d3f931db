package nvrtc

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Kernel is what one kernel takes of a card. Registers are per thread; Stack, SpillStores
// and SpillLoads are bytes of local memory per thread; Shared is the static part, bytes
// per block.
type Kernel struct {
	Name                           string
	Registers                      int
	Stack, SpillStores, SpillLoads int
	Shared                         int
}

func (k Kernel) String() string {
	return fmt.Sprintf("%s: %d registers, %d bytes stack, %d+%d bytes spilled, %d bytes shared",
		k.Name, k.Registers, k.Stack, k.SpillStores, k.SpillLoads, k.Shared)
}

var (
	entry      = regexp.MustCompile(`Compiling entry function '([^']+)'`)
	properties = regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
	registers  = regexp.MustCompile(`Used (\d+) registers`)
	shared     = regexp.MustCompile(`(\d+) bytes smem`)
)

// parse reads what ptxas -v says. Functions that were not inlined count for the kernel
// that they are listed below.
func parse(log string) []Kernel {
	var list []Kernel
	for line := range strings.Lines(log) {
		if m := entry.FindStringSubmatch(line); m != nil {
			list = append(list, Kernel{Name: m[1]})
		}
		if len(list) == 0 {
			continue
		}
		k := &list[len(list)-1]
		if m := properties.FindStringSubmatch(line); m != nil {
			k.Stack, k.SpillStores, k.SpillLoads = k.Stack+number(m[1]), k.SpillStores+number(m[2]), k.SpillLoads+number(m[3])
		}
		if m := registers.FindStringSubmatch(line); m != nil {
			k.Registers = number(m[1])
		}
		if m := shared.FindStringSubmatch(line); m != nil {
			k.Shared = number(m[1])
		}
	}
	return list
}

func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		panic(err) // the pattern matches digits only
	}
	return n
}
