package dataflow

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// perCPU is the memory of a machine type for each of its CPUs, in MiB.
var perCPU = map[string]int64{
	"n1-standard": 3840, "n1-highmem": 6656, "n1-highcpu": 922,
	"n2-standard": 4096, "n2-highmem": 8192, "n2-highcpu": 1024,
	"n2d-standard": 4096, "n2d-highmem": 8192, "n2d-highcpu": 1024,
	"e2-standard": 4096, "e2-highmem": 8192, "e2-highcpu": 1024,
	"c2-standard": 4096, "c3-standard": 4096, "c3-highmem": 8192, "c3d-standard": 4096, "g2-standard": 4096,
}

var machineType = regexp.MustCompile(`^([a-z0-9]+-[a-z]+)-(\d+)$`)

// smallest lists what is taken where nobody names a machine. L4 accelerators go with g2
// only, older ones with n1 only.
var (
	smallest   = []string{"n1-highmem-2", "n1-highmem-4", "n1-highmem-8", "n1-highmem-16", "n1-highmem-32", "n1-highmem-64", "n1-highmem-96"}
	smallestL4 = []string{"g2-standard-4", "g2-standard-8", "g2-standard-16", "g2-standard-32"}
)

// machine returns the machine type for the job, or refuses the one that was asked for
// where it is known to be too small.
func (o Options) machine() (string, error) {
	bytes, list := o.Job.RAMBytes, smallest
	if strings.HasPrefix(o.Accelerator, "nvidia-l4") && o.Job.Network {
		list = smallestL4
	}
	if o.MachineType != "" {
		if has, known := memoryOf(o.MachineType); known && has < bytes {
			return "", fmt.Errorf("dataflow: %s has %d MiB and the job takes %d; give a larger --machine-type, or a smaller --memory", o.MachineType, has>>20, bytes>>20)
		}
		return o.MachineType, nil
	}
	for _, m := range list {
		if has, _ := memoryOf(m); has >= bytes {
			return m, nil
		}
	}
	return "", fmt.Errorf("dataflow: the job takes %d MiB, more than %s has; name a --machine-type", bytes>>20, list[len(list)-1])
}

// memoryOf is the memory of a machine type, in bytes, where it is known.
func memoryOf(name string) (bytes int64, known bool) {
	m := machineType.FindStringSubmatch(name)
	if m == nil || perCPU[m[1]] == 0 {
		return 0, false
	}
	cpus, err := strconv.ParseInt(m[2], 10, 16)
	return cpus * perCPU[m[1]] << 20, err == nil
}
