package pipelines

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// fallbackBytes is taken where the system does not say how much memory there is.
const fallbackBytes = 4 << 30

// MemoryLimit returns the bytes this process may use: the smallest limit of its
// cgroups, or what the machine has available.
func MemoryLimit() int64 {
	limit := available()
	for _, file := range append(cgroupFiles(), "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes") {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && n > 0 && n < limit {
			limit = n
		}
	}
	return limit
}

// cgroupFiles lists the limits of this process's own cgroup (version 2) and of those above it.
func cgroupFiles() []string {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	var files []string
	for line := range strings.Lines(string(data)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for ok && group != "/" && group != "" {
			files = append(files, "/sys/fs/cgroup"+group+"/memory.max")
			group = group[:strings.LastIndexByte(group, '/')]
		}
	}
	return files
}

func available() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return fallbackBytes
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		fields := strings.Fields(scan.Text())
		if len(fields) == 3 && fields[0] == "MemAvailable:" {
			if kb, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return kb << 10
			}
		}
	}
	return fallbackBytes
}
