package efficiency

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

// System is one column of the table: a network and how it is applied.
type System struct {
	Name     string `json:"system"` // of plan.Systems
	Mirror   string `json:"mirror"` // none, or axes
	Features []int  `json:"features"`
	Model    string `json:"model"`  // whose weights they are
	Random   bool   `json:"random"` // weights are drawn: times and memory only
	Device   string `json:"device"`
}

// Title is the system's name with the axes it mirrors.
func (s System) Title() string {
	if s.Mirror == "none" || s.Mirror == "" {
		return s.Name
	}
	return s.Name + " mirrored " + s.Mirror
}

// File is Title as a part of file names and of the ledger.
func (s System) File() string {
	return strings.NewReplacer(" ", "-", ",", "").Replace(s.Title())
}

// Measured is one case by one system.
type Measured struct {
	System
	Case string `json:"case"`
	Use
}

// Column is a system with the means over its cases.
type Column struct {
	System
	Cases       int     `json:"cases"`
	Seconds     float64 `json:"seconds"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	PeakRAM     float64 `json:"peak_ram_bytes"`
	PeakGPU     float64 `json:"peak_gpu_bytes"`
	CPU         float64 `json:"cpu_percent"`
	CPUArea     float64 `json:"cpu_area_percent_s"`
	GPUArea     float64 `json:"gpu_area_mb_s"`
	GPUAreaOver float64 `json:"gpu_area_over_2048_mb_s"`
}

// Mean sums up the cases of a system; those of others are passed over.
func Mean(s System, all []Measured) Column {
	c := Column{System: s}
	for _, m := range all {
		if m.Title() != s.Title() {
			continue
		}
		c.Cases++
		c.Seconds += m.Seconds
		c.CPUSeconds += m.CPUSeconds
		c.PeakRAM += float64(m.PeakRAM)
		c.PeakGPU += float64(m.PeakGPU)
		c.CPU += m.CPU
		c.CPUArea += m.CPUArea
		c.GPUArea += m.GPUArea
		c.GPUAreaOver += m.GPUAreaOver
	}
	for _, v := range []*float64{&c.Seconds, &c.CPUSeconds, &c.PeakRAM, &c.PeakGPU, &c.CPU, &c.CPUArea, &c.GPUArea, &c.GPUAreaOver} {
		*v /= float64(max(c.Cases, 1))
	}
	return c
}

// paper is the paper's Table 1: means over its 50 validation cases, on its machine with a GPU.
var paper = map[string]struct{ ram, gpu, cpu, seconds string }{
	"nnunet":        {"22.69*", "5.911", "3.87", "535.4"},
	"low-footprint": {"23.07*", "1.834", "3.9", "122.3"},
	"student":       {"13.78", "1.722", "4.38", "53.5"},
}

// gb is how many bytes of a table's GB are.
const gb = 1 << 30

// Table gives Table 1 of the paper with its numbers in brackets behind ours.
func Table(columns []Column) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(name string, cell func(c Column) string) {
		fmt.Fprint(w, name)
		for _, c := range columns {
			fmt.Fprint(w, "\t", cell(c))
		}
		fmt.Fprintln(w)
	}
	value := func(v float64, format, theirs string) string {
		ours := "-"
		if v > 0 {
			ours = fmt.Sprintf(format, v)
		}
		if theirs != "" {
			ours += " (" + theirs + ")"
		}
		return ours
	}
	line("ours (the paper's)", Column.Title)
	line("features", func(c Column) string { return fmt.Sprintf("%d..%d", c.Features[0], c.Features[len(c.Features)-1]) })
	line("peak RAM, GB", func(c Column) string { return value(c.PeakRAM/gb, "%.2f", paper[c.Name].ram) })
	line("GPU memory, GB", func(c Column) string { return value(c.PeakGPU/gb, "%.3f", paper[c.Name].gpu) })
	line("CPU utilisation, %", func(c Column) string { return value(c.CPU, "%.1f", paper[c.Name].cpu) })
	line("time, s", func(c Column) string { return value(c.Seconds, "%.1f", paper[c.Name].seconds) })
	line("CPU time, s", func(c Column) string { return value(c.CPUSeconds, "%.1f", "") })
	line("GPU memory-time, MB s", func(c Column) string { return value(c.GPUArea, "%.0f", "") })
	line("CPU-time, % s", func(c Column) string { return value(c.CPUArea, "%.0f", "") })
	line("cases", func(c Column) string { return strconv.Itoa(c.Cases) })
	line("weights", func(c Column) string {
		if c.Random {
			return "random"
		}
		return c.Model
	})
	w.Flush()
	return text.String() + footnotes(columns)
}

// footnotes say what the numbers are not.
func footnotes(columns []Column) string {
	text := "The paper's are means over 50 cases on a machine with a GPU; it does not say whether its nnU-Net mirrored. GB are of 2^30 bytes.\n* seven of the 50 cases were over 28 GB\n"
	for _, c := range columns {
		if c.Random {
			return text + "random weights: times and memory only\n"
		}
	}
	return text
}

// header of CSV.
var header = strings.Fields("case system mirror weights device load seconds cpu_seconds processors cpu_percent memory peak_ram_bytes peak_gpu_bytes cpu_area_percent_s gpu_area_mb_s gpu_area_over_2048_mb_s")

// CSV lists what was measured, a line a case and system.
func CSV(all []Measured) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(header) // errors are kept until Flush
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }
	for _, m := range all {
		weights := m.Model
		if m.Random {
			weights = "random"
		}
		w.Write([]string{
			m.Case, m.Name, m.Mirror, weights, m.Device, number(m.Load), number(m.Seconds), number(m.CPUSeconds), strconv.Itoa(m.Processors), number(m.Use.CPU), m.Memory,
			strconv.FormatInt(m.PeakRAM, 10), strconv.FormatInt(m.PeakGPU, 10), number(m.CPUArea), number(m.GPUArea), number(m.GPUAreaOver),
		})
	}
	w.Flush()
	return b.Bytes(), w.Error()
}
