package check

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"noisystudent/model/cuda/tuning"
)

// Report is where results go: a folder, and who measured.
type Report struct {
	Folder string
	Card   string // with its driver
	Real   bool   // a card, not the emulator
}

// head is the table of BENCHMARKS.md that rows belong to.
const head = `| row | ours / compiled, floor 0.7, goal 0.5 | ours | eager | channels_last_3d | torch.compile | when, where |
|---|---|---|---|---|---|---|
`

// Timings writes rows.md and timings.json.
func (r Report) Timings(rows []Row) error {
	var b strings.Builder
	b.WriteString(head)
	for _, row := range rows {
		ratio := "-"
		if c := row.Peers["compile"]; c.Median > 0 && row.Ours.Median > 0 {
			ratio = fmt.Sprintf("**%.2f**", row.Ours.Median/c.Median)
		}
		ours := row.Ours.cell()
		if row.Planes > 0 {
			ours += fmt.Sprintf("; reading its logits %.1f ms", 1000*row.Planes)
		}
		fmt.Fprintf(&b, "| %s | %s | %s", row.Case, ratio, ours)
		for _, name := range Engines {
			fmt.Fprintf(&b, " | %s", row.Peers[name].cell())
		}
		fmt.Fprintf(&b, " | gpucheck, %s, %s |\n", time.Now().UTC().Format(time.DateOnly), r.where())
	}
	if err := r.write("rows.md", []byte(b.String())); err != nil {
		return err
	}
	return r.json("timings.json", rows)
}

func (r Report) where() string {
	if !r.Real {
		return "EMULATOR: NOT A MEASUREMENT"
	}
	return r.Card
}

// cell is minimum and median, and memory, or why there is none.
func (s Spread) cell() string {
	if s.Runs == 0 {
		text := strings.NewReplacer("|", "/", "\n", " ").Replace(s.Error)
		return "none: " + text[:min(len(text), 80)]
	}
	return fmt.Sprintf("%.2f / %.2f ms, %d MiB, n=%d", 1000*s.Min, 1000*s.Median, s.Bytes>>20, s.Runs)
}

// Kernels writes kernels.md and kernels.json.
func (r Report) Kernels(list []Kernel) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Instructions by time, %s. Bytes are the least that must move; of limit: the time at the card's limits by the time taken.\n\n", r.where())
	b.WriteString("| case | instruction | kernels | share | ms, min / median | TFLOP/s | GB/s | of limit |\n|---|---|---|---|---|---|---|---|\n")
	for _, k := range list {
		rate := func(n int64) float64 { return float64(n) / max(k.Median, 1e-12) }
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f %% | %.3f / %.3f | %.1f | %.0f | %.0f %% %s |\n", k.Case, k.Instr, strings.Join(k.Kernels, ", "),
			100*k.Share, 1000*k.Min, 1000*k.Median, rate(k.FLOP)/1e12, rate(k.Bytes)/1e9, 100*k.OfLimit, k.Bound)
	}
	if err := r.write("kernels.md", []byte(b.String())); err != nil {
		return err
	}
	return r.json("kernels.json", list)
}

// ConvTable writes conv.json, the table of package tuning.
func (r Report) ConvTable(rules []tuning.Rule) error { return r.table("conv.json", rules) }

// ProductTable writes product.json, the table of package tuning.
func (r Report) ProductTable(rules []tuning.ProductRule) error {
	return r.table("product.json", rules)
}

func (r Report) table(name string, rules any) error {
	text, err := json.MarshalIndent(rules, "", "  ")
	if err != nil {
		return err
	}
	return r.write(name, append(text, '\n'))
}

func (r Report) json(name string, v any) error {
	text, err := json.MarshalIndent(map[string]any{"where": r.where(), "measured": r.Real, "results": v}, "", " ")
	if err != nil {
		return err
	}
	return r.write(name, append(text, '\n'))
}

// write puts a file in place at once, for the time may end meanwhile.
func (r Report) write(name string, text []byte) error {
	file := filepath.Join(r.Folder, name)
	if err := os.WriteFile(file+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
