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
	"c2-standard": 4096, "c3-standard": 4096, "c3-highmem": 8192, "c3d-standard": 4096,
}

var machineType = regexp.MustCompile(`^([a-z0-9]+-[a-z]+)-(\d+)$`)

// smallest lists what is taken where nobody names a machine.
var smallest = []string{"n1-highmem-2", "n1-highmem-4", "n1-highmem-8", "n1-highmem-16", "n1-highmem-32", "n1-highmem-64", "n1-highmem-96"}

// withCards lists machine types that have accelerators built in, the smallest first.
var withCards = []struct {
	name, cards string
	gib         int64 // memory
}{
	{"g2-standard-4", "nvidia-l4:1", 16},
	{"g2-standard-8", "nvidia-l4:1", 32},
	{"g2-standard-12", "nvidia-l4:1", 48},
	{"g2-standard-16", "nvidia-l4:1", 64},
	{"g2-standard-32", "nvidia-l4:1", 128},
	{"g2-standard-24", "nvidia-l4:2", 96},
	{"g2-standard-48", "nvidia-l4:4", 192},
	{"g2-standard-96", "nvidia-l4:8", 384},
	{"a2-highgpu-1g", "nvidia-tesla-a100:1", 85},
	{"a2-highgpu-2g", "nvidia-tesla-a100:2", 170},
	{"a2-highgpu-4g", "nvidia-tesla-a100:4", 340},
	{"a2-highgpu-8g", "nvidia-tesla-a100:8", 680},
	{"a2-ultragpu-1g", "nvidia-a100-80gb:1", 170},
	{"a2-ultragpu-2g", "nvidia-a100-80gb:2", 340},
	{"a2-ultragpu-4g", "nvidia-a100-80gb:4", 680},
	{"a2-ultragpu-8g", "nvidia-a100-80gb:8", 1360},
	{"a3-highgpu-1g", "nvidia-h100-80gb:1", 234},
	{"a3-highgpu-2g", "nvidia-h100-80gb:2", 468},
	{"a3-highgpu-4g", "nvidia-h100-80gb:4", 936},
	{"a3-highgpu-8g", "nvidia-h100-80gb:8", 1872},
}

// tooOld are Dataflow's accelerators below the compute capability that the kernels need.
var tooOld = map[string]string{
	"nvidia-tesla-k80": "3.7", "nvidia-tesla-p100": "6.0", "nvidia-tesla-p4": "6.1", "nvidia-tesla-v100": "7.0", "nvidia-tesla-t4": "7.5",
}

// cards are the kind and number of the accelerators that are asked for.
func (o Options) cards() (kind, count string) {
	kind, count, found := strings.Cut(o.Accelerator, ":")
	if kind != "" && !found {
		count = "1"
	}
	return kind, count
}

// machine returns the machine type for the job, or refuses the one that was asked for
// where it is known to be too small.
func (o Options) machine() (string, error) {
	bytes, list := o.Job.RAMBytes, smallest
	if kind, count := o.cards(); kind != "" && o.Job.Network {
		list = nil
		for _, m := range withCards {
			if m.cards == kind+":"+count {
				list = append(list, m.name)
			}
		}
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
	if len(list) == 0 {
		return "", fmt.Errorf("dataflow: no machine with --accelerator %s is known here; name a --machine-type", o.Accelerator)
	}
	return "", fmt.Errorf("dataflow: the job takes %d MiB, more than %s has; name a --machine-type", bytes>>20, list[len(list)-1])
}

// memoryOf is the memory of a machine type, in bytes, where it is known.
func memoryOf(name string) (bytes int64, known bool) {
	for _, m := range withCards {
		if m.name == name {
			return m.gib << 30, true
		}
	}
	m := machineType.FindStringSubmatch(name)
	if m == nil || perCPU[m[1]] == 0 {
		return 0, false
	}
	cpus, err := strconv.ParseInt(m[2], 10, 16)
	return cpus * perCPU[m[1]] << 20, err == nil
}
