// Package kernels holds the CUDA sources of the device and puts a compilation unit
// together: the constants that it is specialised for, the instructions (ptx.cuh) and
// one file. The text needs no header of CUDA.
package kernels

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.cu *.cuh
var files embed.FS

// Unit is one compilation: a file without its ".cu", and its constants such as "STORE=f16".
type Unit struct {
	File    string
	Defines string // separated by blanks
}

// Source is the text of a unit.
func (u Unit) Source() (string, error) {
	var b strings.Builder
	for _, d := range strings.Fields(u.Defines) {
		name, value, _ := strings.Cut(d, "=")
		fmt.Fprintf(&b, "#define %s %s\n", name, value)
	}
	for _, name := range []string{"ptx.cuh", u.File + ".cu"} {
		text, err := files.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("cuda: kernel source: %w", err)
		}
		b.Write(text)
	}
	return b.String(), nil
}
