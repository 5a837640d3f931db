// Package kernels holds the CUDA sources of the device and puts a compilation unit
// together: the constants that it is specialised for, the instructions (ptx.cuh) and
// one file, whose #include lines name files beside it. The text needs no header of CUDA.
package kernels

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed *.cu *.cuh
var files embed.FS

// Unit is one compilation: a file without its ".cu", and its constants such as "STORE=f16".
type Unit struct {
	File    string
	Defines string // separated by blanks
}

var include = regexp.MustCompile(`(?m)^#include "(.+)"\n`)

// Source is the text of a unit.
func (u Unit) Source() (string, error) {
	var b strings.Builder
	for _, d := range strings.Fields(u.Defines) {
		name, value, _ := strings.Cut(d, "=")
		fmt.Fprintf(&b, "#define %s %s\n", name, value)
	}
	text, err := files.ReadFile(u.File + ".cu")
	if err != nil {
		return "", fmt.Errorf("cuda: kernel source: %w", err)
	}
	parts := []string{"ptx.cuh"}
	for _, m := range include.FindAllSubmatch(text, -1) {
		parts = append(parts, string(m[1]))
	}
	for _, name := range parts {
		header, err := files.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("cuda: kernel source of %s: %w", u.File, err)
		}
		b.Write(header)
	}
	b.Write(include.ReplaceAll(text, nil))
	return b.String(), nil
}
