//go:build ignore

// Summary reads `go test -json` from standard input, prints failures as they come
// and then what ran and what did not, by tier, also where a package says that it has run
// a tier in part. It fails if a test failed or if a
// tier that was asked for (-must tier,...) has a skipped test.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// A skip reason belongs to the first tier whose pattern it matches.
var tiers = []struct{ name, pattern string }{
	{"python", `needs Python peers`},
	{"ct", `needs the real CT`},
	{"avx512", `(?i)avx-?512`},
	{"avx2", `(?i)avx2`},
	{"worker", `needs the contents of a worker image`},
	{"flink", `needs Flink`},
	{"chromium", `(?i)chromium`},
	{"emulator", `needs g\+\+`},
	{"nvrtc", `needs NVRTC`},
	{"short", `(?i)-short|^short|takes (a minute|minutes|hours)`},
	{"gpu", `(?i)gpu|cuda|needs a card`},
}

func main() {
	must := flag.String("must", "", "tiers that may not be skipped")
	flag.Parse()
	wanted := strings.Split(*must, ",")
	output := map[string][]string{}
	var passed, failed, skipped int
	reasons := map[string]map[string]int{}
	parts := map[string]map[string][]string{} // what ran of a tier: the packages
	var broken []string
	scan := bufio.NewScanner(os.Stdin)
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		var e event
		if json.Unmarshal(scan.Bytes(), &e) != nil {
			fmt.Println(scan.Text())
			continue
		}
		id := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			output[id] = append(output[id], e.Output)
			if m := partly.FindStringSubmatch(e.Output); m != nil && e.Test == "" {
				for _, tier := range strings.Split(m[1], ",") {
					if parts[tier] == nil {
						parts[tier] = map[string][]string{}
					}
					parts[tier][m[2]] = append(parts[tier][m[2]], e.Package)
				}
			}
		case "fail":
			failed++
			fmt.Printf("FAIL %s (%.1f s)\n%s", id, e.Elapsed, strings.Join(output[id], ""))
		case "build-output":
			fmt.Print(e.Output)
		case "pass":
			if e.Test != "" {
				passed++
			} else {
				fmt.Printf("ok   %s (%.1f s)\n", e.Package, e.Elapsed)
			}
		case "skip":
			if e.Test == "" {
				continue
			}
			skipped++
			tier, reason := classify(output[id])
			if reasons[tier] == nil {
				reasons[tier] = map[string]int{}
			}
			reasons[tier][reason]++
			if slices.Contains(wanted, tier) {
				broken = append(broken, fmt.Sprintf("%s: tier %s should have run", id, tier))
			}
		}
	}
	fmt.Println("\ntier      skipped  reason")
	for _, t := range append(tiers, struct{ name, pattern string }{"other", ""}) {
		if len(reasons[t.name]) == 0 {
			fmt.Printf("%-9s %7d\n", t.name, 0)
		}
		for reason, n := range reasons[t.name] {
			fmt.Printf("%-9s %7d  %s\n", t.name, n, reason)
		}
		for what, packages := range parts[t.name] {
			fmt.Printf("%-9s  partly  %s: %s\n", t.name, what, strings.Join(packages, ", "))
		}
	}
	for _, b := range broken {
		fmt.Println("FAIL", b)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed+len(broken), skipped)
	if failed+len(broken) > 0 || passed == 0 {
		os.Exit(1)
	}
}

// partly is what a package prints that runs tiers in part: "partly emulator,nvrtc: why".
var partly = regexp.MustCompile(`^partly ([a-z0-9,]+): (.+)\n`)

var position = regexp.MustCompile(`^\s*\S+\.go:\d+: `)

func classify(lines []string) (tier, reason string) {
	for _, line := range lines {
		if position.MatchString(line) {
			reason = strings.TrimSpace(position.ReplaceAllString(line, ""))
		}
	}
	for _, t := range tiers {
		if regexp.MustCompile(t.pattern).MatchString(reason) {
			return t.name, reason
		}
	}
	return "other", reason
}
