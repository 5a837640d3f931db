package memory

import (
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Budget is three quarters of Limit as it was when it was first asked for.
var Budget = sync.OnceValue(func() int64 { return Limit() / 4 * 3 })

// unknownLimit is taken where the system does not say how much memory there is.
const unknownLimit = 8 << 30

// Limit returns the bytes that this process may use: what the machine has
// available, or the smallest limit of its control groups where that is less.
func Limit() int64 { return limitOf("/proc", "/sys/fs/cgroup") }

func limitOf(proc, groups string) int64 {
	limit := int64(math.MaxInt64)
	if text, err := os.ReadFile(proc + "/meminfo"); err == nil {
		limit = availableBytes(string(text))
	}
	for _, file := range limitFiles(proc, groups) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
			limit = min(limit, n)
		}
	}
	if limit == math.MaxInt64 {
		return unknownLimit
	}
	return limit
}

// availableBytes reads /proc/meminfo: what can be had without swapping, or all there
// is where an old kernel does not say.
func availableBytes(meminfo string) int64 {
	for _, name := range []string{"MemAvailable:", "MemTotal:"} {
		for line := range strings.Lines(meminfo) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == name {
				if kb, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					return kb << 10
				}
			}
		}
	}
	return math.MaxInt64
}

// limitFiles lists where the limits stand: of the root as a container sees it, in
// version 2 and 1, and of this process's own group and those above it.
func limitFiles(proc, groups string) []string {
	files := []string{groups + "/memory.max", groups + "/memory/memory.limit_in_bytes"}
	text, _ := os.ReadFile(proc + "/self/cgroup")
	for line := range strings.Lines(string(text)) { // such as 0::/user.slice or 4:memory:/docker/1
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		for ; len(group) > 1; group = group[:max(strings.LastIndexByte(group, '/'), 0)] {
			switch {
			case controllers == "":
				files = append(files, groups+group+"/memory.max")
			case strings.Contains(controllers, "memory"):
				files = append(files, groups+"/memory"+group+"/memory.limit_in_bytes")
			}
		}
	}
	return files
}
