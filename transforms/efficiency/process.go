package efficiency

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// system is where Linux tells of processes: /proc. Elsewhere nothing can be read, and
// memory is not measured.
type system string

// userHZ is the unit of times in /proc/PID/stat on every Linux that Go runs on.
const userHZ = 100

// tree returns a process with all that have come from it and live.
func (s system) tree(pid int) (list []int) {
	list = []int{pid}
	for i := 0; i < len(list); i++ {
		files, _ := filepath.Glob(fmt.Sprintf("%s/%d/task/*/children", s, list[i]))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			for _, word := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(word); err == nil {
					list = append(list, child)
				}
			}
		}
	}
	return list
}

// cpuSeconds is what a process has taken, with its children that have ended.
func (s system) cpuSeconds(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("%s/%d/stat", s, pid))
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold anything; user time is the 12th field after it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 15 {
		return 0
	}
	ticks := 0
	for _, f := range fields[11:15] {
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return float64(ticks) / userHZ
}

// rss is the memory of a process, pages that others share counted whole.
func (s system) rss(pid int) int64 {
	return s.kilobytes(fmt.Sprintf("%s/%d/status", s, pid), "VmRSS:")
}

// pss is the memory of a process, pages that others share counted by its part; 0 where
// that cannot be read. The kernel walks all pages for it.
func (s system) pss(pid int) int64 {
	return s.kilobytes(fmt.Sprintf("%s/%d/smaps_rollup", s, pid), "Pss:")
}

// load is how many processes of the machine ran or wanted to, as a mean of one minute.
func (s system) load() float64 {
	text, _ := os.ReadFile(string(s) + "/loadavg")
	one, _, _ := strings.Cut(string(text), " ")
	load, _ := strconv.ParseFloat(one, 64)
	return load
}

// kilobytes reads a line such as "Pss:  123 kB" of a file, as bytes.
func (system) kilobytes(file, name string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// sharing remembers how much less PSS was than RSS, when it was last asked for.
type sharing struct {
	less  int64
	next  time.Time // when it may be asked for again
	knows bool
}

// patience keeps asking for PSS from taking more than a twentieth of the time.
const patience = 20

// memory is the PSS of processes. It is asked for as often as that costs little; in
// between it is RSS less what was shared the last time. kind is pss, or rss where PSS
// cannot be read.
func (h *sharing) memory(s system, pids []int) (bytes int64, kind string) {
	var rss int64
	for _, pid := range pids {
		rss += s.rss(pid)
	}
	if start := time.Now(); !start.Before(h.next) {
		var pss int64
		for _, pid := range pids {
			pss += s.pss(pid)
		}
		h.next = time.Now().Add(patience * time.Since(start))
		if pss > 0 {
			h.less, h.knows = max(rss-pss, 0), true
			return pss, "pss"
		}
	}
	if h.knows {
		return max(rss-h.less, 0), "pss"
	}
	return rss, "rss"
}
